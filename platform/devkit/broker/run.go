// Package broker runs a NATS server with JetStream for development and tests: in this process, or as a child that can be killed and
// started again with the same store on the same port. It asks nobody for a password, so it listens on the loopback unless it is told of a
// network that is its own.
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
	Host     string    // where to listen, the loopback when empty; what Start starts is asked for there, so for it another one is 0.0.0.0
	Port     int       // 0 is any free one, for Start
	StoreDir string    // where JetStream keeps streams and positions; for Start, "" is a temporary folder that goes with the broker
	Log      io.Writer // the broker's log; may be nil
	Command  []string  // for Start: what calls Run in another process, such as bin/seam broker; port and store are appended as flags
}

// startTimeout leaves room for reading a large store after a crash.
const startTimeout = time.Minute

// errNotSynced is a promise that cannot be kept, so the broker does not start.
var errNotSynced = errors.New("the broker would acknowledge before its disk has the message")

// Run runs a broker in this process until ctx ends.
//
// It syncs before it acknowledges. JetStream's default syncs every two minutes: a process that is killed loses nothing by that, for the
// kernel has its writes, but a power cut takes up to two minutes of acknowledged messages along (Jepsen's test of 2.12.1 lost 14 %), and
// the outboxes have marked those as published. And the default store is below the temporary folder, which a restart may empty.
func Run(ctx context.Context, o Options) error {
	if o.StoreDir == "" {
		return errors.New("run broker: name a folder for its store")
	}
	s, err := server.NewServer(&server.Options{
		Host: cmp.Or(o.Host, "127.0.0.1"), Port: cmp.Or(o.Port, server.RANDOM_PORT),
		JetStream: true, StoreDir: o.StoreDir, SyncAlways: true,
		NoSigs:                 true, // signals are the process's, and reach the broker as the end of ctx
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
		if reason := l.fatal(); reason != "" || time.Since(begin) > startTimeout { // the server itself would wait for ever
			return fmt.Errorf("run broker: it does not start: %s", reason)
		}
	}
	if !s.JetStreamConfig().SyncAlways { // as the server understood it, not as we wrote it
		return fmt.Errorf("run broker: %w", errNotSynced)
	}
	<-ctx.Done()
	return nil
}
