package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/process"
)

const aboutEventsRedrive = `seam events redrive ID…      retries the dead letters of these events, in every module
seam events redrive --all    all dead letters of the modules that are asked
Running processes retry them within a second or so, with all attempts; what still fails is a dead letter again.`

const aboutJobsRedrive = `seam jobs redrive ID…      retries the dead jobs of these ids
seam jobs redrive --all    all dead jobs of the modules that are asked
Running processes do them within a second or so; what is refused for good again is dead again.`

func eventsRedrive(ctx context.Context, args []string) error {
	return redrive(ctx, newCall("events redrive"), "seam events dead", aboutEventsRedrive, args, events.Redrive)
}

func jobsRedrive(ctx context.Context, args []string) error {
	return redrive(ctx, newCall("jobs redrive"), "seam jobs dead", aboutJobsRedrive, args, jobs.Redrive)
}

type redriven struct {
	Module   string `json:"module"`
	Redriven int64  `json:"redriven"`
}

// redrive retries dead letters or dead jobs, which lister, another verb, lists.
func redrive(
	ctx context.Context, c *operatorCall, lister, about string, args []string,
	inModule func(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error),
) error {
	all := c.Bool("all", false, "everything that is dead")
	if err := c.read(about, args, len(args)); err != nil {
		return err
	}
	if *all == (len(c.words) > 0) {
		return process.Usage(fmt.Errorf("name either ids, which %s lists, or --all", lister))
	}
	var ids []uuid.UUID
	for _, word := range c.words {
		id, err := uuid.Parse(word)
		if err != nil {
			return process.Usage(fmt.Errorf("%q is no id; %s lists them", word, lister))
		}
		ids = append(ids, id)
	}
	schemas, closeAll, err := c.open(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	batches := [][]uuid.UUID{nil} // all
	if !*all {
		batches = slices.Collect(slices.Chunk(ids, 1)) // one by one, to know which are not dead
	}
	var done []uuid.UUID
	counts, err := forEach(schemas, func(s schema) (redriven, error) {
		answer := redriven{Module: s.module}
		for _, batch := range batches {
			count, err := inModule(ctx, s.pool, batch...)
			if err != nil {
				return answer, fmt.Errorf("%s: %w", s.module, err)
			}
			if count > 0 {
				done = append(done, batch...)
			}
			answer.Redriven += count
		}
		return answer, nil
	})
	shown := c.show(counts, func(table *tabwriter.Writer) {
		for _, r := range counts {
			fmt.Fprintf(table, "%s\t%d redriven\n", r.Module, r.Redriven)
		}
	})
	var left []string
	for _, id := range ids {
		if !slices.Contains(done, id) {
			left = append(left, id.String())
		}
	}
	if err == nil && len(left) > 0 {
		err = process.Usage(fmt.Errorf("not dead in any module that was asked: %s; %s lists what is",
			strings.Join(left, ", "), lister))
	}
	return both(err, shown)
}
