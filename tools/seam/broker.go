package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/tools/flags"
)

// runBroker runs a NATS broker. seam up starts it as a process of its own.
func runBroker(ctx context.Context, args []string) error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	set := flag.NewFlagSet("broker", flag.ContinueOnError)
	host := set.String("host", "127.0.0.1", "the address that it listens on; there is no password")
	port := set.Int("port", 4222, "the port that it listens on")
	store := set.String("store", filepath.Join(s.State, "broker"), "the folder that it keeps messages and positions in")
	if err := flags.ParseOnly(set, "seam broker runs a NATS broker that syncs each message; Ctrl-C stops it.", args); err != nil {
		return err
	}
	return broker.Run(ctx, broker.Options{Host: *host, Port: *port, StoreDir: *store, Log: os.Stderr})
}
