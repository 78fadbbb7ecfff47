package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
)

const aboutEventsDead = `seam events dead lists the dead letters of each module, those first that have been dead for longest, with the first line of the reason.
What the events say is personal data and is only printed with --payload: mind where it goes.
When the reason is mended, seam events redrive tries them again.`

// deadLetters are the dead letters of one module.
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
	c := newEventsCall("dead")
	limit := c.Int("limit", 20, "list at most so many of each module")
	payload := c.Bool("payload", false, "print also what the events say: personal data")
	if err := c.read(aboutEventsDead, args, 0); err != nil {
		return err
	}
	if *limit < 1 {
		return process.Usage(errors.New("--limit must be at least 1"))
	}
	schemas, closeAll, unreachable := c.open(ctx)
	defer closeAll()
	if len(schemas) == 0 {
		return unreachable
	}
	all, err := forEach(schemas, func(s schema) (deadLetters, error) { return s.dead(ctx, *limit, *payload) })
	shown := c.show(all, func(table *tabwriter.Writer) { printDead(table, all) })
	return both(both(unreachable, err), shown)
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
		if more := d.Dead - int64(len(d.Letters)); more > 0 {
			fmt.Fprintf(table, "%s has %d more; --limit lists them\n", d.Module, more)
		}
	}
}

// printable keeps what came from elsewhere from moving the cursor of a terminal, and from breaking the table.
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
		SELECT event_id, topic, attempts, dead_at, split_part(reason, E'\n', 1), CASE WHEN $2 THEN payload END, count(*) OVER ()
		FROM failed WHERE dead_at IS NOT NULL
		ORDER BY dead_at, event_id LIMIT $1`, limit, withPayload)
	if err != nil {
		return d, fmt.Errorf("%s: read dead letters: %w", s.module, err)
	}
	d.Letters, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l deadLetter, err error) {
		var payload []byte
		err = row.Scan(&l.EventID, &l.Topic, &l.Attempts, &l.DeadSince, &l.Reason, &payload, &d.Dead)
		l.Payload = payload
		if payload != nil && !json.Valid(payload) { // which may be why it is dead
			l.Payload, _ = json.Marshal(string(payload)) // a string always can be
		}
		return l, err
	})
	if err != nil {
		return d, fmt.Errorf("%s: read dead letters: %w", s.module, err)
	}
	return d, nil
}

const aboutEventsRedrive = `seam events redrive ID…      gives the dead letters of these event ids all their attempts again, in every module where they are dead
seam events redrive --all    all dead letters of the modules that are asked
Running processes try them within a second or so; what fails again ends as a dead letter again.`

// redriven is how many dead letters of a module got another life.
type redriven struct {
	Module   string `json:"module"`
	Redriven int64  `json:"redriven"`
}

func eventsRedrive(ctx context.Context, args []string) error {
	c := newEventsCall("redrive")
	all := c.Bool("all", false, "all dead letters")
	if err := c.read(aboutEventsRedrive, args, len(args)); err != nil {
		return err
	}
	if *all == (len(c.words) > 0) {
		return process.Usage(errors.New("name either event ids, which seam events dead lists, or --all"))
	}
	var ids []uuid.UUID
	for _, word := range c.words {
		id, err := uuid.Parse(word)
		if err != nil {
			return process.Usage(fmt.Errorf("%q is no event id; seam events dead lists them", word))
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
		batches = slices.Collect(slices.Chunk(ids, 1)) // each by itself, to know which are dead nowhere
	}
	var done []uuid.UUID
	counts, err := forEach(schemas, func(s schema) (redriven, error) {
		answer := redriven{Module: s.module}
		for _, batch := range batches {
			count, err := events.Redrive(ctx, s.pool, batch...)
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
	if left := without(ids, done); err == nil && left != "" {
		err = process.Usage(fmt.Errorf("no module that was asked has a dead letter of these ids: %s; "+
			"seam events dead lists those that are there", left))
	}
	return both(err, shown)
}

// without is the ids that are not among those done, on one line.
func without(ids, done []uuid.UUID) string {
	var left []string
	for _, id := range ids {
		if !slices.Contains(done, id) {
			left = append(left, id.String())
		}
	}
	return strings.Join(left, ", ")
}
