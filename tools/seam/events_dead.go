package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const aboutEventsDead = `seam events dead lists the dead letters of each module, oldest first, with the first line of the reason.
Payloads are personal data, and only printed with --payload: mind where they go.
When the reason is fixed, seam events redrive retries them.`

type deadLetters struct {
	Module  string       `json:"module"`
	Dead    int64        `json:"dead"` // all of them, listed or not
	Letters []deadLetter `json:"letters"`
}

type deadLetter struct {
	EventID   uuid.UUID       `json:"event_id"`
	Topic     string          `json:"topic"`
	Attempts  int             `json:"attempts"`
	DeadSince time.Time       `json:"dead_since"`
	Reason    string          `json:"reason"`
	Payload   json.RawMessage `json:"payload,omitempty"`
}

func eventsDead(ctx context.Context, args []string) error {
	c := newCall("events dead")
	payload := c.Bool("payload", false, "print payloads, too: personal data")
	limit, err := c.readList(aboutEventsDead, args)
	if err != nil {
		return err
	}
	return report(ctx, c, func(s schema) (deadLetters, error) { return s.dead(ctx, limit, *payload) }, printDead)
}

func printDead(table *tabwriter.Writer, all []deadLetters) {
	fmt.Fprintln(table, "MODULE\tEVENT\tTOPIC\tATTEMPTS\tDEAD SINCE\tREASON")
	for _, d := range all {
		for _, l := range d.Letters {
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n",
				d.Module, l.EventID, l.Topic, l.Attempts, l.DeadSince.UTC().Format(time.RFC3339), printable(l.Reason))
			if l.Payload != nil {
				fmt.Fprintf(table, "  %s\n", printable(string(l.Payload)))
			}
		}
	}
	for _, d := range all {
		printMore(table, d.Module, d.Dead-int64(len(d.Letters)))
	}
}

func printMore(table *tabwriter.Writer, module string, more int64) {
	if more > 0 {
		fmt.Fprintf(table, "%s has %d more; --limit lists them\n", module, more)
	}
}

// printable replaces control characters, which could move the cursor or break the table.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

func (s schema) dead(ctx context.Context, limit int, withPayload bool) (deadLetters, error) {
	d := deadLetters{Module: s.module}
	rows, err := s.pool.Query(ctx, `
		SELECT event_id, topic, attempts, dead_at, split_part(reason, E'\n', 1),
			CASE WHEN $2 THEN payload END, count(*) OVER ()
		FROM failed WHERE dead_at IS NOT NULL
		ORDER BY dead_at, event_id LIMIT $1`, limit, withPayload)
	if err == nil {
		d.Letters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l deadLetter, err error) {
			var payload []byte
			err = row.Scan(&l.EventID, &l.Topic, &l.Attempts, &l.DeadSince, &l.Reason, &payload, &d.Dead)
			l.Payload = payload
			if payload != nil && !json.Valid(payload) { // perhaps the reason why it is dead
				l.Payload, _ = json.Marshal(string(payload)) // a string always can be
			}
			return l, err
		})
	}
	if err != nil {
		return d, fmt.Errorf("%s: read dead letters: %w", s.module, err)
	}
	return d, nil
}
