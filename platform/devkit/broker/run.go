// Package broker runs a NATS server with JetStream for development and tests: in this process, or
// as a child that can be killed and restarted with the same store on the same port. It has no
// passwords, so it listens on the loopback unless Host names another, isolated network.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options of a broker.
type Options struct {
	Host     string    // to listen on; loopback if empty. For Start it must include the loopback, as 0.0.0.0 does
	Port     int       // 0 is any free one, for Start
	StoreDir string    // of JetStream's streams and positions; for Start, "" is a temporary folder
	Log      io.Writer // the broker's log; may be nil
	Command  []string  // for Start: runs Run in a process, such as bin/seam broker; Start appends --port and --store
}

// startTimeout leaves time to read a large store after a crash.
const startTimeout = time.Minute

// errNotSynced means that acknowledged messages could be lost, so the broker does not start.
var errNotSynced = errors.New("the broker would acknowledge before its disk has the message")

// Run runs a broker in this process until ctx ends.
//
// It syncs before it acknowledges. JetStream's default is to sync every two minutes: a killed
// process loses nothing by that, because the kernel has its writes, but a power cut loses up to two
// minutes of acknowledged messages (Jepsen's test of 2.12.1 lost 14 %), which the outboxes have
// marked as published. The default store is in the temporary folder, which a reboot may empty.
func Run(ctx context.Context, o Options) error {
	if o.StoreDir == "" {
		return errors.New("run broker: name a folder for its store")
	}
	s, err := server.NewServer(&server.Options{
		Host: cmp.Or(o.Host, "127.0.0.1"), Port: cmp.Or(o.Port, server.RANDOM_PORT),
		JetStream: true, StoreDir: o.StoreDir, SyncAlways: true,
		NoSigs:                 true, // the process handles signals, and ends ctx
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return fmt.Errorf("run broker: %w", err)
	}
	l := &logger{to: o.Log}
	s.SetLoggerV2(l, false, false, false)
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	for begin := time.Now(); !s.ReadyForConnections(100 * time.Millisecond); {
		if reason := l.fatal(); reason != "" || time.Since(begin) > startTimeout { // the server would wait on
			return fmt.Errorf("run broker: it does not start: %s", reason)
		}
	}
	if !s.JetStreamConfig().SyncAlways { // as the server read its options
		return fmt.Errorf("run broker: %w", errNotSynced)
	}
	<-ctx.Done()
	return nil
}
