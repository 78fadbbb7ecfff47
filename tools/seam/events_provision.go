package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"example.com/shop/architecture"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutEventsProvision = `seam events provision makes the stream on the broker of NATS_URL, and for each module a durable for each topic that
architecture/contextmap.yaml says it listens to. No process makes them: one whose durable is missing is not ready. Run it
before the first process starts on the broker, before a release in which a module listens to more, after a change of the
settings below, and on a broker that lost its store, before seam events replay. It may run at any time and moves no
position. It waits for the broker, 30s at most.
Settings: SEAM_NATS_SEED, the key of the user seam, NATS_URL, NATS_STREAM, NATS_REPLICAS, NATS_MAX_AGE, and NATS_ACK_WAIT and NATS_MAX_ACK_PENDING, which a process
takes over when it restarts.`

// brokerLimit is how long eventsProvision waits for the broker.
const brokerLimit = 30 * time.Second

func eventsProvision(ctx context.Context, args []string) error {
	if err := flags.ParseOnly(flag.NewFlagSet("events provision", flag.ContinueOnError), aboutEventsProvision, args); err != nil {
		return err
	}
	cfg, err := process.Config[struct {
		Bus  natsbus.Config
		Keep natsbus.Keeping
	}]()
	if err != nil {
		return err
	}
	bus, err := openBroker(cfg.Bus)
	if err != nil {
		return err
	}
	defer bus.Close() //nolint:errcheck // it has sent what it was asked to
	ctx, cancel := context.WithTimeout(ctx, brokerLimit)
	defer cancel()
	waits := time.AfterFunc(progressEvery, func() {
		fmt.Fprintf(os.Stderr, "Waiting for the broker of NATS_URL, %s at most …\n", brokerLimit)
	})
	defer waits.Stop()
	for err = bus.Check(ctx); err != nil; err = bus.Check(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("NATS_URL: %w: start it, or set its address", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	waits.Stop()
	return bus.Provision(ctx, cfg.Keep, architecture.Listens())
}
