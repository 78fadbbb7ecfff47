package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutBroker = `seam broker runs a NATS broker that syncs each message; Ctrl-C stops it. With --users FILE it lets in those who have a
key there, and reads the file again at SIGHUP; without, anybody may do anything.
seam broker users --write DIR makes the keys and the file: see its --help.`

const aboutUsers = `seam broker users --write DIR makes a key at the broker for each module that has none in the folder, and for the user
seam, who provisions: DIR/MODULE.nk is the secret, which goes to <MODULE>_NATS_SEED (SEAM_NATS_SEED) of those processes
alone. DIR/users.conf has the public keys and what each may publish, for a NATS server's configuration to include; write
it again when a module listens to more. The stream is NATS_STREAM. A server reads the file again at SIGHUP.
  --rotate MODULE,…   give them another key; the one before stays valid beside it
  --retire MODULE,…   drop the one before, once every process has the newer one`

// runBroker runs a NATS broker, which seam up starts as a process of its own, or writes its users.
func runBroker(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "users" {
		return brokerUsers(args[1:])
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	set := flag.NewFlagSet("broker", flag.ContinueOnError)
	host := set.String("host", "127.0.0.1", "the address that it listens on")
	port := set.Int("port", 4222, "the port that it listens on")
	store := set.String("store", filepath.Join(s.State, "broker"), "the folder that it keeps messages and positions in")
	users := set.String("users", "", "the file that seam broker users has written")
	if err := flags.ParseOnly(set, aboutBroker, args); err != nil {
		return err
	}
	return broker.Run(ctx, broker.Options{Host: *host, Port: *port, StoreDir: *store, Users: *users, Log: os.Stderr})
}

func brokerUsers(args []string) error {
	set := flag.NewFlagSet("broker users", flag.ContinueOnError)
	dir := set.String("write", "", "the folder of the keys and of users.conf")
	rotate, retire := set.String("rotate", "", "who gets another key"), set.String("retire", "", "whose key before is dropped")
	if err := flags.ParseOnly(set, aboutUsers, args); err != nil {
		return err
	}
	if *dir == "" {
		return process.Usage(errors.New("seam broker users needs --write and a folder; see its --help"))
	}
	for _, change := range []struct {
		names string
		do    func(dir, user string) error
	}{{*rotate, broker.Rotate}, {*retire, broker.Retire}} {
		for _, name := range strings.FieldsFunc(change.names, func(r rune) bool { return r == ',' }) {
			if !slices.Contains(topology.BrokerUsers(), name) {
				return process.Usage(fmt.Errorf("there is no user %q; there are %s", name, strings.Join(topology.BrokerUsers(), ", ")))
			}
			if err := change.do(*dir, name); err != nil {
				return process.Usage(err)
			}
		}
	}
	_, err := topology.WriteBrokerUsers(*dir)
	return err
}

// openBroker connects as the user who provisions.
func openBroker(cfg natsbus.Config) (*natsbus.Bus, error) {
	seed, err := process.Value("SEAM_NATS_SEED")
	if err != nil {
		return nil, err
	}
	return natsbus.Open(cfg, natsbus.Provisioner, seed, slog.New(slog.DiscardHandler))
}
