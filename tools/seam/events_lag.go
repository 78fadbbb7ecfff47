package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"example.com/shop/platform/events"
)

const aboutEventsLag = `seam events lag says for each module what waits:
  UNPUBLISHED  events in its outbox that are not published yet
  OLDEST       how long the oldest of them has waited
  REPLAYED     how many of them are replayed
  RETRYING     events that it failed to handle, and will retry
  DEAD         dead letters: see seam events dead
  EXPIRING     published events that are kept until a time of their own, and cannot be replayed after it
  PARKED       events that one side of a canary has received for another
  BUS          the bus that its events travel on
A module that cannot be reached is named, and the exit code is 1; also if not all are on one bus, or if it is memory, which
does not reach a module that the monolith does not link.`

type lag struct {
	Module        string  `json:"module"`
	Unpublished   int64   `json:"unpublished"`
	OldestSeconds float64 `json:"oldest_seconds"` // 0 when nothing waits
	Replayed      int64   `json:"replayed"`
	Retrying      int64   `json:"retrying"`
	Dead          int64   `json:"dead"`
	Expiring      int64   `json:"expiring"`
	Parked        int64   `json:"parked"`
	Bus           string  `json:"bus"` // "" before the first process started
}

func eventsLag(ctx context.Context, args []string) error {
	c := newCall("events lag")
	if err := c.read(aboutEventsLag, args, 0); err != nil {
		return err
	}
	var buses []recordedBus
	ask := func(s schema) (lag, error) {
		bus, err := s.bus(ctx, "")
		if err != nil {
			return lag{}, err
		}
		buses = append(buses, bus)
		return s.lag(ctx, bus.Bus)
	}
	asked := report(ctx, c, ask, func(table *tabwriter.Writer, lags []lag) {
		fmt.Fprintln(table, "MODULE\tUNPUBLISHED\tOLDEST\tREPLAYED\tRETRYING\tDEAD\tEXPIRING\tPARKED\tBUS")
		for _, l := range lags {
			oldest := "-"
			if l.Unpublished > 0 {
				oldest = time.Duration(l.OldestSeconds * float64(time.Second)).Round(time.Second).String()
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\n", l.Module, l.Unpublished, oldest, l.Replayed, l.Retrying, l.Dead,
				l.Expiring, l.Parked, cmp.Or(l.Bus, "-"))
		}
	})
	return both(asked, notDelivered(ctx, buses))
}

// notDelivered returns an error if some module gets no events of others, whatever waits.
func notDelivered(ctx context.Context, buses []recordedBus) error {
	if err := differ(buses); err != nil {
		return err
	}
	if !slices.ContainsFunc(buses, func(b recordedBus) bool { return b.Bus == events.Memory }) {
		return nil
	}
	return unreached(ctx, buses)
}

func (s schema) lag(ctx context.Context, bus string) (lag, error) {
	l := lag{Module: s.module, Bus: bus}
	// The age is never negative: after a move to another server, its clock may be behind the rows.
	err := s.pool.QueryRow(ctx, `
		SELECT o.unpublished, o.oldest, o.replayed, f.retrying, f.dead,
			(SELECT count(*) FROM outbox WHERE expires_at IS NOT NULL), (SELECT count(*) FROM parked)
		FROM (
			SELECT count(*) AS unpublished, count(*) FILTER (WHERE replays > 0) AS replayed,
				greatest(coalesce(extract(epoch FROM now() - min(created_at)), 0), 0)::float8 AS oldest
			FROM outbox_pending
		) o, (
			SELECT count(*) FILTER (WHERE dead_at IS NULL) AS retrying, count(*) FILTER (WHERE dead_at IS NOT NULL) AS dead
			FROM failed
		) f`).Scan(&l.Unpublished, &l.OldestSeconds, &l.Replayed, &l.Retrying, &l.Dead, &l.Expiring, &l.Parked)
	if err != nil {
		return l, fmt.Errorf("%s: read lag: %w", s.module, err)
	}
	return l, nil
}
