package notifications

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/shop/modules/orders/ordersapi"
)

// What was sent, and what never could be, go when the retention is over, addresses and all.
func TestOldMailIsForgotten(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, fakeMailer{sendFunc: func(_ context.Context, m mail) error {
		if m.To == address {
			return nil
		}
		return errors.New("not now")
	}})
	o.Work(o.module)
	o.Given(placed, confirmed,
		ordersapi.Placed{OrderID: other, Email: "eve@example.com", Version: 1},
		ordersapi.Cancelled{OrderID: other, Version: 2})
	o.Eventually("one mail is sent and one is not", "SELECT EXISTS (SELECT FROM messages WHERE sent_at IS NOT NULL) AND EXISTS (SELECT FROM jobs WHERE reason <> '')")
	for _, test := range []struct {
		pass time.Duration
		kept bool
	}{{testConfig.Retention - time.Hour, true}, {2 * time.Hour, false}} {
		o.Advance(test.pass)
		if more, err := o.module.prune(t.Context()); err != nil || more {
			t.Fatal(more, err)
		}
		const both = "SELECT count(*) = $1 FROM "
		want := map[bool]int{true: 2}[test.kept]
		for _, table := range []string{"messages", "recipients"} {
			if !o.Is(both+table, want) {
				t.Errorf("of the %s not %d are kept after %s", table, want, test.pass)
			}
		}
		if !o.Is(both+"jobs", want/2) {
			t.Errorf("of the mails not %d is kept after %s", want/2, test.pass)
		}
	}
}

// The result of a mail locks its job, and then its message.
func TestPruningLocksTheJobFirst(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, fakeMailer{sendFunc: func(context.Context, mail) error { return errors.New("not now") }})
	o.Work(o.module)
	o.Given(placed, confirmed)
	o.Eventually("the mail is not sent", "SELECT EXISTS (SELECT FROM jobs WHERE reason <> '')")
	finish, err := o.DB.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer finish.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it is over
	if _, err := finish.Exec(t.Context(), "SELECT id FROM jobs FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	o.Advance(testConfig.Retention + time.Hour)
	pruned := make(chan error, 1)
	go func() {
		_, err := o.module.prune(t.Context())
		pruned <- err
	}()
	o.Eventually("pruning waits for the job", "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%DeleteMessages%' AND datname = current_database())")
	if _, err := finish.Exec(t.Context(), "SELECT id FROM messages FOR UPDATE NOWAIT"); err != nil {
		t.Errorf("it has locked the message already: %v", err)
	}
	if err := finish.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-pruned; err != nil {
		t.Error(err)
	}
}
