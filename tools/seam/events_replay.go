package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
)

const aboutEventsReplay = `seam events replay --since 2h                      replays the events of the last two hours
seam events replay --since 2026-01-31T09:00:00Z    since then
It is for a bus that lost events. Modules ignore events that they have handled, so too many do no harm; an event
may have waited before it was published, so begin some time before the loss.
Running processes publish the events, as they do new ones; seam events lag shows how many remain.
It reaches as far back as the outboxes are kept: EVENTS_OUTBOX_RETENTION, which must be set here, too. An event that
is kept until a time of its own is not replayed after it.`

type replayed struct {
	Module string `json:"module"`
	Events int64  `json:"events"`
}

func eventsReplay(ctx context.Context, args []string) error {
	c := newCall("events replay")
	text := c.String("since", "", "when they were written: so long ago, or a time")
	dryRun := c.Bool("dry-run", false, "only say how many there are")
	if err := c.read(aboutEventsReplay, args, 0); err != nil {
		return err
	}
	since, err := sinceOf(*text, time.Now(), c.Events.OutboxRetention)
	if err != nil {
		return process.Usage(err)
	}
	schemas, closeAll, err := c.open(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	counts, err := forEach(schemas, func(s schema) (replayed, error) {
		n, err := s.replay(ctx, since, *dryRun)
		if err != nil {
			return replayed{}, fmt.Errorf("%s: %w", s.module, err)
		}
		return replayed{s.module, n}, nil
	})
	done := "replayed"
	if *dryRun {
		done = "would be replayed"
	}
	return both(err, c.show(counts, func(table *tabwriter.Writer) {
		for _, r := range counts {
			fmt.Fprintf(table, "%s\t%d %s\n", r.Module, r.Events, done)
		}
	}))
}

// sinceOf parses --since. It refuses a time before which events may have been pruned.
func sinceOf(text string, now time.Time, kept time.Duration) (time.Time, error) {
	const examples = "--since 2h or --since 2026-01-31T09:00:00Z"
	if text == "" {
		return now, errors.New("say since when, as in " + examples)
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		ago, err := time.ParseDuration(text)
		if err != nil {
			return now, fmt.Errorf("--since %q is not like %s", text, examples)
		}
		since = now.Add(-ago)
	}
	age := now.Sub(since)
	if age < 0 {
		return now, fmt.Errorf("--since %s is in the future", text)
	}
	if age > kept {
		return now, fmt.Errorf("published events are kept for %[1]s, and older ones may be deleted: "+
			"ask for --since %[1]s at most, or set EVENTS_OUTBOX_RETENTION if the processes keep them for longer", kept)
	}
	return since, nil
}

func (s schema) replay(ctx context.Context, since time.Time, dryRun bool) (int64, error) {
	all, err := events.Replayable(ctx, s.pool, since)
	if err != nil || dryRun {
		return all, err
	}
	next := time.Now().Add(progressEvery)
	replayed, err := events.Replay(ctx, s.pool, since, func(replayed int64) {
		if time.Now().After(next) {
			fmt.Fprintf(os.Stderr, "%s: %d of %d replayed …\n", s.module, replayed, all)
			next = time.Now().Add(progressEvery)
		}
	})
	if err != nil && replayed > 0 { // also after an interrupt
		fmt.Fprintf(os.Stderr, "%s: stopped after %d events; run it again for the rest\n", s.module, replayed)
	}
	return replayed, err
}

const progressEvery = 2 * time.Second
