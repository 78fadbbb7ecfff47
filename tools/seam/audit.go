package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

const aboutAudit = `seam audit lists what staff and services have changed in each module, latest first: who, what, when and from where, with the
ids by which the request is found in the logs. A request that changed nothing is not in it.
It asks the modules whose <MODULE>_DATABASE_URL is set, on their runtime roles, which can change no row of it.`

type auditOf struct {
	Module  string         `json:"module"`
	Count   int64          `json:"count"` // all of them, listed or not
	Actions []auditedEntry `json:"actions"`
}

type auditedEntry struct {
	At        time.Time `json:"at"`
	Who       string    `json:"who"`
	What      string    `json:"what"`
	Client    string    `json:"client"`
	RequestID string    `json:"request_id"`
	TraceID   string    `json:"trace_id"`
}

func runAudit(ctx context.Context, args []string) error {
	c := newCall("audit")
	limit, err := c.readList(aboutAudit, args)
	if err != nil {
		return err
	}
	return report(ctx, c, func(s schema) (auditOf, error) { return s.audit(ctx, limit) }, printAudit)
}

func printAudit(table *tabwriter.Writer, all []auditOf) {
	fmt.Fprintln(table, "MODULE\tAT\tWHO\tWHAT\tFROM\tREQUEST\tTRACE")
	for _, m := range all {
		for _, a := range m.Actions {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m.Module, a.At.UTC().Format(time.RFC3339),
				printable(a.Who), printable(a.What), a.Client, a.RequestID, a.TraceID)
		}
	}
	for _, m := range all {
		printMore(table, m.Module, m.Count-int64(len(m.Actions)))
	}
}

func (s schema) audit(ctx context.Context, limit int) (auditOf, error) {
	m := auditOf{Module: s.module}
	rows, err := s.pool.Query(ctx, `
		SELECT at, who, what, client, request_id, trace_id, (SELECT count(*) FROM audit)
		FROM audit ORDER BY id DESC LIMIT $1`, limit)
	if err == nil {
		m.Actions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a auditedEntry, err error) {
			err = row.Scan(&a.At, &a.Who, &a.What, &a.Client, &a.RequestID, &a.TraceID, &m.Count)
			return a, err
		})
	}
	if err != nil {
		return m, fmt.Errorf("%s: read audit: %w", s.module, err)
	}
	return m, nil
}
