package notifications

import (
	"testing"

	"example.com/shop/modules/orders/ordersapi"
)

// A statement that is only queued fails with the commit, by name: of the handler, whose event then
// fails alone, or of the job's result, which is then tried again.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, mails)
	o.Work(o.module)
	o.Plant("ALTER TABLE notifications.recipients ADD CHECK (email <> 'eve@mail.example')")
	o.Plant("ALTER TABLE notifications.messages ADD CHECK (status <> 'sent')")
	o.Publish(ordersapi.Placed{OrderID: other, Email: "eve@mail.example", Version: 1}, placed)
	o.Eventually("the event has failed, for the statement that was queued",
		"SELECT EXISTS (SELECT FROM failed WHERE reason LIKE '%InsertRecipients%') AND count(*) = 1 FROM recipients")
	o.Publish(confirmed)
	o.Eventually("the mail was tried, and could not be marked", "SELECT EXISTS (SELECT FROM jobs WHERE reason LIKE '%MarkSent%')")
	if n := o.Count("SELECT count(*) FROM messages WHERE status = 'pending'"); n != 1 {
		t.Errorf("%d mails are to be sent, want 1", n)
	}
}
