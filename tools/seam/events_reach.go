package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

// unreached returns an error that names the modules which a bus in memory does not reach, because
// the monolith beside seam does not link them. It asks the schemas and the broker which modules
// there are. Without a monolith there it returns nil: a process in memory refuses by itself to
// start.
func unreached(ctx context.Context, buses []recordedBus) error {
	seam, err := os.Executable()
	if err != nil {
		return err
	}
	linked, err := topology.Linked(ctx, filepath.Dir(seam))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	durables, err := durables(ctx)
	if err != nil {
		return err
	}
	modules := slices.Collect(maps.Keys(durables))
	for _, b := range buses {
		modules = append(modules, b.modules...)
	}
	slices.Sort(modules)
	var lacks []string
	for _, m := range slices.Compact(modules) {
		if slices.Contains(linked, m) {
			continue
		}
		if names := durables[m]; len(names) > 0 {
			m += " (the broker has its durable " + names[0] + ")"
		}
		lacks = append(lacks, m)
	}
	if len(lacks) == 0 {
		return nil
	}
	return fmt.Errorf("events in memory do not reach %s, which the monolith does not link: have the bus nats; or, if it was removed "+
		"or renamed, have the data follow by seam setup --removed NAME or --renamed OLD=NEW, and delete its durables", strings.Join(lacks, ", "))
}

// durables returns the durables on the broker, of each module; none if NATS_URL is not set or leads
// to no broker.
func durables(ctx context.Context) (map[string][]string, error) {
	if url, err := process.Value("NATS_URL"); err != nil || url == "" {
		return map[string][]string{}, err
	}
	cfg, err := process.Config[natsbus.Config]()
	if err != nil {
		return nil, err
	}
	bus, err := openBroker(cfg)
	if err != nil {
		return nil, err
	}
	defer bus.Close() //nolint:errcheck // it has sent nothing
	if bus.Check(ctx) != nil {
		return map[string][]string{}, nil
	}
	return bus.Durables(ctx)
}
