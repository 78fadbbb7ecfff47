package notifications

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// Of the orders of an hour with one mailbox, whatever its spelling, those above the limit are not
// mailed, and staff sees it. Other mailboxes get theirs.
func TestMailsToOneMailboxAreLimited(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, mails)
	o.module.cfg.MaxPerHour = 3
	o.Work(o.module)
	var ids []string
	for range 6 {
		ids = append(ids, uuid.Must(uuid.NewV7()).String())
	}
	spelt := []string{address, "Ada@mail.example", "ada+1@mail.example"} // the tray takes the first
	var placed, ended []events.Event
	for n, id := range ids {
		email := address
		if n > 0 && n < len(spelt) {
			email = spelt[n]
		}
		placed = append(placed, ordersapi.Placed{OrderID: id, Email: email, Version: 1})
		ended = append(ended, ordersapi.Cancelled{OrderID: id, Reason: "customer", Version: 2})
	}
	last := len(ids) - 1
	o.Given(ended[last]) // whose address is not known yet
	o.Publish(placed...)
	o.Settle()
	o.Publish(ended[:last]...)
	o.Settle()
	stranger := uuid.Must(uuid.NewV7()).String()
	o.Given(ordersapi.Placed{OrderID: stranger, Email: "eve@mail.example", Version: 1}, ordersapi.Cancelled{OrderID: stranger, Version: 2})

	statuses := func() (statuses []string) {
		for _, id := range ids {
			statuses = append(statuses, o.list(id).Items[0].Status)
		}
		return statuses
	}
	o.Eventually("the first is sent", "SELECT EXISTS (SELECT FROM messages WHERE status = 'sent')")
	want := []string{"sent", "pending", "pending", "withheld", "withheld", "withheld"} // the tray has no time for other spellings
	if diff := cmp.Diff(want, statuses()); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if n := o.Count("SELECT count(*) FROM jobs"); n != 3 { // two other spellings, and the stranger's
		t.Errorf("%d mails are enqueued", n)
	}
	if o.Is("SELECT EXISTS (SELECT FROM messages WHERE status = 'withheld' AND subject || body <> '')") {
		t.Error("the text of a withheld mail is kept")
	}

	o.Advance(time.Hour + time.Second)
	later := uuid.Must(uuid.NewV7()).String()
	o.Given(ordersapi.Placed{OrderID: later, Email: address, Version: 1}, ordersapi.Cancelled{OrderID: later, Version: 2})
	o.Eventually("an hour later the mailbox gets mails", fmt.Sprintf(
		"SELECT EXISTS (SELECT FROM messages WHERE status = 'sent' AND order_id = '%s')", later))
}
