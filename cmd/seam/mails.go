package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

const aboutMails = `seam mails unsent                  the mails that the mail server has refused so far, and why
seam mails redrive ID… | --all    send mails that have failed once more
It asks the module whose NOTIFICATIONS_DATABASE_URL is set, on its runtime role. Each of these explains itself with --help.`

// runMails is for those who operate the shop. Its statements are the only ones on a module's table
// that do not stand in the module's queries.sql, because no package outside a module may import
// them.
func runMails(ctx context.Context, args []string) error {
	verbs := map[string]func(context.Context, []string) error{"unsent": mailsUnsent, "redrive": mailsRedrive}
	if len(args) > 0 && verbs[args[0]] != nil {
		return verbs[args[0]](ctx, args[1:])
	}
	if err := parse(flag.NewFlagSet("mails", flag.ContinueOnError), aboutMails, args); err != nil {
		return err
	}
	return process.Usage(errors.New("say unsent or redrive; seam mails --help explains them"))
}

// newMailsCall is a call like those of seam events, of one module.
func newMailsCall(verb string) *operatorCall {
	c := &operatorCall{FlagSet: flag.NewFlagSet("mails "+verb, flag.ContinueOnError), modules: "notifications"}
	c.BoolVar(&c.json, "json", false, "print JSON")
	return c
}

const aboutMailsUnsent = `seam mails unsent lists the mails that the mail server has refused so far, the oldest first, with the reason; never their address.
Those that are pending are tried again by themselves, every few minutes. Those that have failed are not: when the reason is gone,
seam mails redrive tries them again.`

// unsentMails are those of one look, and how many there are altogether.
type unsentMails struct {
	Unsent int64        `json:"unsent"`
	Mails  []unsentMail `json:"mails"`
}

type unsentMail struct {
	ID       uuid.UUID `json:"id"`
	OrderID  uuid.UUID `json:"order_id"`
	Kind     string    `json:"kind"`
	Status   string    `json:"status"`
	Attempts int       `json:"attempts"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`
}

func mailsUnsent(ctx context.Context, args []string) error {
	c := newMailsCall("unsent")
	limit := c.Int("limit", 20, "list at most so many")
	if err := c.read(aboutMailsUnsent, args, 0); err != nil {
		return err
	}
	if *limit < 1 {
		return process.Usage(errors.New("--limit must be at least 1"))
	}
	schemas, closeAll, err := c.open(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	var all unsentMails
	rows, err := schemas[0].pool.Query(ctx, `
		SELECT id, order_id, kind, status, attempts, created_at, reason, count(*) OVER ()
		FROM messages WHERE status <> 'sent' AND reason IS NOT NULL
		ORDER BY created_at, id LIMIT $1`, *limit)
	if err != nil {
		return fmt.Errorf("read mails: %w", err)
	}
	all.Mails, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (m unsentMail, err error) {
		err = row.Scan(&m.ID, &m.OrderID, &m.Kind, &m.Status, &m.Attempts, &m.Since, &m.Reason, &all.Unsent)
		return m, err
	})
	if err != nil {
		return fmt.Errorf("read mails: %w", err)
	}
	return c.show(all, func(table *tabwriter.Writer) {
		fmt.Fprintln(table, "MAIL\tORDER\tKIND\tSTATUS\tATTEMPTS\tSINCE\tREASON")
		for _, m := range all.Mails {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
				m.ID, m.OrderID, m.Kind, m.Status, m.Attempts, m.Since.UTC().Format(time.RFC3339), printable(m.Reason))
		}
		if more := all.Unsent - int64(len(all.Mails)); more > 0 {
			fmt.Fprintf(table, "There are %d more; --limit lists them\n", more)
		}
	})
}

const aboutMailsRedrive = `seam mails redrive ID…      tries the mails of these ids again, of those that have failed
seam mails redrive --all    all mails that have failed
Running processes send them within a second or so; what is refused for good again has failed again.`

func mailsRedrive(ctx context.Context, args []string) error {
	c := newMailsCall("redrive")
	all := c.Bool("all", false, "all mails that have failed")
	if err := c.read(aboutMailsRedrive, args, len(args)); err != nil {
		return err
	}
	if *all == (len(c.words) > 0) {
		return process.Usage(errors.New("name either the ids of mails, which seam mails unsent lists, or --all"))
	}
	ids, err := mailIDs(c.words)
	if err != nil {
		return err
	}
	schemas, closeAll, err := c.open(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	// The attempts stay, because a claim is known by its number of them.
	rows, err := schemas[0].pool.Query(ctx, `
		UPDATE messages SET status = 'pending', next_at = now() WHERE status = 'failed' AND ($1 OR id = ANY($2)) RETURNING id`, *all, ids)
	if err != nil {
		return fmt.Errorf("redrive mails: %w", err)
	}
	done, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("redrive mails: %w", err)
	}
	if left := without(ids, done); left != "" {
		err = process.Usage(fmt.Errorf("not redriven, because no such mail has failed: %s; "+
			"seam mails unsent lists those that have", left))
	}
	redriven := redriven{"notifications", int64(len(done))}
	return both(err, c.show(redriven, func(table *tabwriter.Writer) { fmt.Fprintf(table, "%d redriven\n", redriven.Redriven) }))
}

func mailIDs(words []string) (ids []uuid.UUID, err error) {
	for _, word := range words {
		id, err := uuid.Parse(word)
		if err != nil {
			return nil, process.Usage(fmt.Errorf("%q is no id of a mail; seam mails unsent lists them", word))
		}
		ids = append(ids, id)
	}
	return ids, nil
}
