package notifications

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
)

// Statements of v0.1.0.
const (
	insertOfV010 = `INSERT INTO messages (id, order_id, kind, subject, body, message_id, next_at, created_at)
		VALUES ($1, $2, 'confirmed', 'subject', $3, $3, $4, $4) ON CONFLICT (order_id, kind) DO NOTHING`
	recipientOfV010 = "INSERT INTO recipients (order_id, email, created_at) VALUES ($1, 'ada@mail.example', now()) ON CONFLICT (order_id) DO NOTHING"
	claimOfV010     = `WITH due AS (
			SELECT m.id, r.email FROM messages AS m JOIN recipients AS r ON r.order_id = m.order_id
			WHERE m.status = 'pending' AND m.next_at BETWEEN '-infinity' AND $1 AND (m.lease_until IS NULL OR m.lease_until <= $1)
			ORDER BY m.next_at LIMIT 100 FOR UPDATE OF m SKIP LOCKED)
		UPDATE messages AS m SET lease_until = $2, attempts = m.attempts + 1 FROM due WHERE m.id = due.id
		RETURNING m.message_id || CASE m.body WHEN '' THEN ' without a text' ELSE '' END`
	failureOfV010 = `UPDATE messages SET status = 'pending', next_at = $2, reason = 'late', lease_until = NULL
		WHERE id = (SELECT id FROM messages WHERE order_id = $1) AND status NOT IN ('sent', 'failed') AND attempts = $3`
)

// For one release, messages that v0.1.0 has written and left are sent, and no others.
func TestMessagesOfV010AreAdopted(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, mails)
	o.Run(o.module.sendMails)
	message := func(name string, due time.Duration, withAddress bool) (id uuid.UUID) {
		id = uuid.New()
		o.Exec(insertOfV010, id, id, name, o.Now().Add(due))
		if withAddress {
			o.Exec(recipientOfV010, id)
		}
		return id
	}
	const long = -time.Minute
	left := message("left", long, true)
	message("due since a moment", -5*time.Second, true)
	message("not due yet", time.Minute, true)
	unaddressed := message("without an address", long, false)
	for name, over := range map[string]time.Duration{"being sent": time.Second, "just claimed anew": -5 * time.Second, "left at sending": long} {
		o.Exec("UPDATE messages SET lease_until = $2, attempts = 1 WHERE id = $1",
			message(name, long, true), o.Now().Add(over))
	}
	o.Exec("UPDATE messages SET status = 'sent' WHERE id = $1", message("sent", long, true))
	o.Exec("UPDATE messages SET status = 'failed' WHERE id = $1", message("refused", long, true))

	adopted := func(want ...string) {
		t.Helper()
		if more, err := o.module.adopt(t.Context()); err != nil || more {
			t.Fatal(more, err)
		}
		o.rest()
		got := mails.take(t)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	adopted("left", "left at sending")
	o.Exec(recipientOfV010, unaddressed) // by a process of v0.1.0
	adopted("without an address")
	if page := o.list(left.String()); len(page.Items) != 1 || page.Items[0].Status != "sent" {
		t.Errorf("staff sees %+v", page)
	}
}

// A process of v0.1.0 on the same schema sends no mail that has a job, and a claim of its own that
// it has lost changes nothing.
func TestV010LeavesJobsAlone(t *testing.T) {
	t.Parallel()
	o := setup(t, newTray()) // which does not work yet
	claim := func() []string { return o.Texts(claimOfV010, o.Now(), o.Now().Add(time.Minute)) }
	o.Given(placed, confirmed)                                // with an address
	o.Given(ordersapi.Cancelled{OrderID: other, Version: 2})  // before its address,
	o.Given(ordersapi.Placed{OrderID: other, Email: address}) // which has come
	if ids := claim(); len(ids) != 0 {
		t.Errorf("v0.1.0 sends %v as well", ids)
	}

	// One that waits may become the other's, if that is the one which handles the address.
	third := uuid.New()
	o.Given(ordersapi.Confirmed{OrderID: third.String(), Total: confirmed.Total, Version: 2})
	o.Exec(recipientOfV010, third)
	want := []string{third.String() + ".confirmed@shop.example"}
	if diff := cmp.Diff(want, claim()); diff != "" {
		t.Error(diff)
	}
	o.Given(ordersapi.Placed{OrderID: third.String(), Email: address, Version: 1})
	if !o.Is("SELECT count(*) = 2 FROM jobs") {
		t.Error("a mail that v0.1.0 is sending was enqueued as well")
	}
	// It takes too long, so the mail is adopted, and its result changes nothing.
	o.Advance(2 * time.Minute)
	if _, err := o.module.adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Exec(failureOfV010, third, o.Now(), 1)
	if ids := claim(); len(ids) != 0 || !o.Is("SELECT count(*) = 3 FROM jobs") {
		t.Errorf("v0.1.0 sends %v as well", ids)
	}
	o.Work(o.module)
	o.rest()
	if !o.Is("SELECT count(*) = 3 AND bool_and(status = 'sent') FROM messages") {
		t.Error("not all three are sent")
	}
}
