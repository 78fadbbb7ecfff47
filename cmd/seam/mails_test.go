package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// mails calls seam mails.
func (o operator) mails(t *testing.T, args string) (printed, said string, code int) {
	t.Helper()
	return o.call(t, "mails "+args)
}

func TestMailsUnsentAndRedrive(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "notifications")
	mail := func(status string, reason *string) (id uuid.UUID) {
		id = uuid.New()
		o.exec(t, "notifications", `
			INSERT INTO messages (id, order_id, kind, subject, body, message_id, status, attempts, reason, next_at, created_at)
			VALUES ($1, gen_random_uuid(), 'confirmed', 'private', 'private', 'x@y', $2, 7, $3, now() + interval '1 hour', clock_timestamp())`,
			id, status, reason)
		return id
	}
	relay, unknown := "the mail server refused us with 554 5.7.1", "the mail server refused the mail with 550 5.1.1"
	first, second, waits := mail("failed", &unknown), mail("failed", &unknown), mail("pending", &relay)
	mail("pending", nil)
	mail("sent", nil)

	printed, said, code := o.mails(t, "unsent")
	got := strings.Join(strings.Fields(printed), " ")
	if code != 0 || strings.Count(printed, "\n") != 4 || strings.Contains(got, "private") ||
		!strings.Contains(got, first.String()) || !strings.Contains(got, "confirmed failed 7 20") || !strings.Contains(got, relay) {
		t.Errorf("exit code %d, said %q, printed\n%s", code, said, printed)
	}
	if printed, _, _ := o.mails(t, "unsent --limit 1"); !strings.Contains(printed, "There are 2 more") {
		t.Errorf("printed\n%s", printed)
	}
	unsent := func() (all unsentMails) {
		printed, said, _ := o.mails(t, "unsent --json")
		if err := json.Unmarshal([]byte(printed), &all); err != nil {
			t.Fatalf("printed %q, said %q: %v", printed, said, err)
		}
		return all
	}
	if all := unsent(); all.Unsent != 3 || all.Mails[2].ID != waits || all.Mails[2].Status != "pending" || all.Mails[0].Reason != unknown {
		t.Errorf("got %+v", all)
	}

	if printed, said, code := o.mails(t, "redrive "+first.String()); code != 0 || !strings.Contains(printed, "1 redriven") {
		t.Errorf("exit code %d, printed %q, said %q", code, printed, said)
	}
	if all := unsent(); all.Mails[0].Status != "pending" || all.Mails[1].Status != "failed" {
		t.Errorf("after that: %+v", all)
	}
	if _, said, code := o.mails(t, "redrive "+first.String()); code != 2 || !strings.Contains(said, "no such mail has failed") {
		t.Errorf("again: exit code %d, said %q", code, said)
	}
	// Those that cannot be are named, and the others redriven; flags may stand after ids.
	ids := []string{first.String(), second.String(), uuid.NewString(), second.String()}
	printed, said, code = o.mails(t, "redrive "+strings.Join(ids, " ")+" --json")
	if code != 2 || !strings.Contains(printed, `"redriven":1`) || !strings.Contains(said, ids[0]+", "+ids[2]+";") || strings.Contains(said, ids[1]) {
		t.Errorf("of several: exit code %d, printed %q, said %q", code, printed, said)
	}
	o.exec(t, "notifications", "UPDATE messages SET status = 'failed' WHERE id = $1", second)
	for _, want := range []string{"1 redriven", "0 redriven"} {
		if printed, _, code := o.mails(t, "redrive --all"); code != 0 || !strings.Contains(printed, want) {
			t.Errorf("exit code %d, printed %q, want %s", code, printed, want)
		}
	}
	var due int
	err := o.db.Pool(t, "notifications").QueryRow(t.Context(),
		"SELECT count(*) FROM messages WHERE id IN ($1, $2) AND status = 'pending' AND next_at <= now() AND attempts = 7", first, second).Scan(&due)
	if err != nil || due != 2 {
		t.Errorf("%d mails are due, error %v", due, err)
	}
}

func TestMailsBadUse(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "notifications")
	for args, says := range map[string]string{
		"":                               "say unsent or redrive",
		"purge":                          "say unsent or redrive",
		"unsent all":                     "is more than seam mails unsent takes",
		"unsent --limit 0":               "--limit must be at least 1",
		"redrive":                        "name either the ids of mails",
		"redrive --all 1":                "name either the ids of mails",
		"redrive the-first":              "is no id of a mail",
		"redrive --module orders --all ": "flag provided but not defined",
	} {
		printed, said, code := o.mails(t, args)
		if code != 2 || !strings.Contains(said, says) || printed != "" || strings.Count(strings.TrimSpace(said), "\n") != 0 {
			t.Errorf("seam mails %s: exit code %d, said %q, printed %q; want 2 and %q", args, code, said, printed, says)
		}
	}
	if _, said, code := (operator{}).mails(t, "unsent"); code != 2 || !strings.Contains(said, "not set: NOTIFICATIONS_DATABASE_URL") {
		t.Errorf("without its setting: exit code %d, said %q", code, said)
	}
	down := operator{env: []string{"NOTIFICATIONS_DATABASE_URL=postgres://u:p@127.0.0.1:1/x"}}
	if _, said, code := down.mails(t, "unsent"); code != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "connection refused; ") {
		t.Errorf("with its database down: exit code %d, said %q", code, said)
	}
	stranger := operator{env: []string{"NOTIFICATIONS_DATABASE_URL=" + o.db.URL("orders")}}
	if _, said, code := stranger.mails(t, "redrive --all"); code != 2 || !strings.Contains(said, `it leads to the schema "orders"`) {
		t.Errorf("with another's connection: exit code %d, said %q", code, said)
	}
	for _, args := range []string{"", "unsent", "redrive"} {
		if printed, _, code := o.mails(t, args+" --help"); code != 0 || !strings.Contains(printed, "seam mails "+args) {
			t.Errorf("help of %q: exit code %d, printed %q", args, code, printed)
		}
	}
}

// PostgreSQL shows what a connection is for: here, of one that waits for a lock.
func TestMailsNamesItsConnections(t *testing.T) {
	t.Parallel()
	o := newOperator(t, "notifications")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	admin := o.db.Admin(t)
	locked, err := admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := locked.Exec(ctx, "LOCK TABLE notifications.messages"); err != nil {
		t.Fatal(err)
	}
	command := o.command(ctx, "mails unsent")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var name string
	for name == "" {
		if err := admin.QueryRow(ctx, `
			SELECT coalesce(max(application_name), '') FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&name); err != nil {
			t.Fatal(err)
		}
	}
	if name != "seam mails unsent" {
		t.Errorf("it is called %q", name)
	}
	if err := errors.Join(locked.Rollback(ctx), command.Wait()); err != nil {
		t.Error(err)
	}
}
