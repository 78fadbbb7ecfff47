// Package broker runs a NATS server with JetStream for development and tests: in this process, or
// as a child that can be killed and restarted with the same store on the same port. Without users
// anybody may do anything, so it listens on the loopback unless Host names another, isolated
// network. It also makes the users' keys, for any NATS server.
package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Options of a broker.
type Options struct {
	Host     string    // to listen on; loopback if empty. For Start it must include the loopback, as 0.0.0.0 does
	Port     int       // 0 is any free one, for Start
	StoreDir string    // of JetStream's streams and positions; for Start, "" is a temporary folder
	Users    string    // the file that WriteUsers has written; "" lets anybody in
	Log      io.Writer // the broker's log; may be nil
	Command  []string  // for Start: runs Run in a process, such as bin/seam broker; Start appends --port, --store and what else is set
}

// startTimeout leaves time to read a large store after a crash.
const startTimeout = time.Minute

// errNotSynced means that acknowledged messages could be lost, so the broker does not start.
var errNotSynced = errors.New("the broker would acknowledge before its disk has the message")

// Run runs a broker in this process until ctx ends. It reads Users again at SIGHUP.
//
// It syncs before it acknowledges. JetStream's default is to sync every two minutes: a killed
// process loses nothing by that, because the kernel has its writes, but a power cut loses up to two
// minutes of acknowledged messages (Jepsen's test of 2.12.1 lost 14 %), which the outboxes have
// marked as published. The default store is in the temporary folder, which a reboot may empty.
func Run(ctx context.Context, o Options) error {
	if o.StoreDir == "" {
		return errors.New("run broker: name a folder for its store")
	}
	options, err := o.server()
	if err != nil {
		return err
	}
	s, err := server.NewServer(options)
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
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-reload:
			if options, err = o.server(); err == nil {
				err = s.ReloadOptions(options)
			}
			if err != nil {
				l.Errorf("the users are as they were: %v", err)
			}
		}
	}
}

// server returns the server's options, with the users as they are now in their file.
func (o Options) server() (options *server.Options, err error) {
	options = &server.Options{}
	if o.Users != "" {
		if options, err = server.ProcessConfigFile(o.Users); err != nil {
			return nil, fmt.Errorf("run broker: read its users: %w", err)
		}
	}
	options.Host, options.Port = cmp.Or(o.Host, "127.0.0.1"), cmp.Or(o.Port, server.RANDOM_PORT)
	options.JetStream, options.StoreDir, options.SyncAlways = true, o.StoreDir, true
	options.NoSigs = true // the process handles signals, and ends ctx
	options.DisableJetStreamBanner = true
	return options, nil
}
