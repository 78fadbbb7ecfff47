package main

import (
	"cmp"
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const aboutJobs = `seam jobs unfinished             what is not done yet, and the last error
seam jobs dead                   those that failed for good, and why
seam jobs redrive ID… | --all    retry dead ones
It asks the modules whose <MODULE>_DATABASE_URL is set, on their runtime roles. Each verb has a --help.`

// runJobs shows and retries jobs: what the modules do outside of transactions.
func runJobs(ctx context.Context, args []string) error {
	return runVerb(ctx, "jobs", "unfinished, dead or redrive", aboutJobs, map[string]func(context.Context, []string) error{
		"unfinished": jobsUnfinished, "dead": jobsDead, "redrive": jobsRedrive,
	}, args)
}

const aboutJobsUnfinished = `seam jobs unfinished lists the unfinished jobs of each module, oldest first, with the first line of the
last error. They are retried when they are due. A job's arguments, such as an address, are never printed.`

const aboutJobsDead = `seam jobs dead lists the jobs of each module that failed for good, oldest first, with the reason.
When the reason is fixed, seam jobs redrive retries them. A job's arguments, such as an address, are never printed.`

func jobsUnfinished(ctx context.Context, args []string) error {
	return listJobs(ctx, newCall("jobs unfinished"), aboutJobsUnfinished, args, false)
}

func jobsDead(ctx context.Context, args []string) error {
	return listJobs(ctx, newCall("jobs dead"), aboutJobsDead, args, true)
}

type moduleJobs struct {
	Module string `json:"module"`
	Count  int64  `json:"count"` // all of them, listed or not
	Jobs   []job  `json:"jobs"`
}

type job struct {
	ID        uuid.UUID  `json:"id"`
	Kind      string     `json:"kind"`
	Key       string     `json:"key"`
	Tries     int        `json:"tries"`
	Since     time.Time  `json:"since"`
	Due       *time.Time `json:"due,omitempty"`
	DeadSince *time.Time `json:"dead_since,omitempty"`
	Reason    string     `json:"reason"`
}

func listJobs(ctx context.Context, c *operatorCall, about string, args []string, dead bool) error {
	limit, err := c.readList(about, args)
	if err != nil {
		return err
	}
	when := map[bool]string{false: "DUE", true: "DEAD SINCE"}[dead]
	ask := func(s schema) (moduleJobs, error) { return s.jobs(ctx, dead, limit) }
	return report(ctx, c, ask, func(table *tabwriter.Writer, all []moduleJobs) {
		fmt.Fprintf(table, "MODULE\tJOB\tKIND\tKEY\tTRIES\tSINCE\t%s\tREASON\n", when)
		for _, m := range all {
			for _, j := range m.Jobs {
				since, due := j.Since.UTC().Format(time.RFC3339), cmp.Or(j.Due, j.DeadSince).UTC().Format(time.RFC3339)
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", m.Module, j.ID, j.Kind, printable(j.Key),
					j.Tries, since, due, printable(j.Reason))
			}
		}
		for _, m := range all {
			printMore(table, m.Module, m.Count-int64(len(m.Jobs)))
		}
	})
}

func (s schema) jobs(ctx context.Context, dead bool, limit int) (moduleJobs, error) {
	m := moduleJobs{Module: s.module}
	rows, err := s.pool.Query(ctx, `
		SELECT id, kind, key, tries, created_at, CASE WHEN dead_at IS NULL THEN due_at END, dead_at,
			split_part(reason, E'\n', 1), count(*) OVER ()
		FROM jobs WHERE (dead_at IS NOT NULL) = $1
		ORDER BY created_at, id LIMIT $2`, dead, limit)
	if err == nil {
		m.Jobs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (j job, err error) {
			err = row.Scan(&j.ID, &j.Kind, &j.Key, &j.Tries, &j.Since, &j.Due, &j.DeadSince, &j.Reason, &m.Count)
			return j, err
		})
	}
	if err != nil {
		return m, fmt.Errorf("%s: read jobs: %w", s.module, err)
	}
	return m, nil
}
