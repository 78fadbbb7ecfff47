package notifications

import (
	"testing"
	"time"

	"example.com/shop/modules/orders/ordersapi"
)

// What was sent, and what never could be, go when the retention is over, addresses and all. Pruning
// locks the job first, and then its message, as the result of a mail does.
func TestOldMailIsForgotten(t *testing.T) {
	t.Parallel()
	o := setup(t, newTray())
	o.Work(o.module)
	o.Given(placed, confirmed,
		ordersapi.Placed{OrderID: other, Email: "eve@mail.example", Version: 1},
		ordersapi.Cancelled{OrderID: other, Version: 2})
	o.Eventually("one mail is sent and one is not", `SELECT EXISTS (SELECT FROM messages WHERE sent_at IS NOT NULL)
		AND EXISTS (SELECT FROM jobs WHERE reason <> '')`)
	prune := func() {
		if more, err := o.module.prune(t.Context()); err != nil || more {
			t.Error(more, err)
		}
	}
	kept := func(messages, jobs int) {
		t.Helper()
		if !o.Is(`SELECT (SELECT count(*) FROM messages) = $1 AND (SELECT count(*) FROM recipients) = $1
			AND (SELECT count(*) FROM jobs) = $2`, messages, jobs) {
			t.Errorf("not %d messages and addresses and %d mails are kept", messages, jobs)
		}
	}
	o.Advance(testConfig.Retention - time.Hour)
	prune()
	kept(2, 1)

	o.Advance(2 * time.Hour)
	finish := o.Hold("SELECT id FROM jobs FOR UPDATE")
	pruned := make(chan struct{})
	go func() { prune(); close(pruned) }()
	o.Eventually("pruning waits for the job", `SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%DeleteMessages%')`)
	if _, err := o.DB.Exec(t.Context(), "SELECT id FROM messages FOR UPDATE NOWAIT"); err != nil {
		t.Errorf("it has locked the message already: %v", err)
	}
	finish()
	<-pruned
	kept(0, 0)
}
