package notifications

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

// tray is a mail server that takes every mail.
type tray chan mail

func newTray() tray { return make(tray, 100) }

func (mails tray) Send(_ context.Context, m mail) error {
	mails <- m
	return nil
}

func (tray) Close() {}

// take returns the Message-IDs of the mails that have come.
func (mails tray) take() (ids []string) {
	for len(mails) > 0 {
		ids = append(ids, (<-mails).MessageID)
	}
	return ids
}

// The whole path: an event comes in, a mail goes out, staff sees it.
func TestAnEndedOrderIsMailed(t *testing.T) {
	t.Parallel()
	for kind, test := range map[string]struct {
		ended   events.Event
		subject string
	}{
		kindConfirmed: {confirmed, "Your order is confirmed"},
		kindCancelled: {cancelled, "Your order was cancelled"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			mails := newTray()
			cfg := testConfig
			cfg.Poll = time.Hour // it is enough that the event is handled
			o := setup(t, cfg, mails)
			o.Work(o.module)
			o.Given(placed, test.ended)

			var got mail
			select {
			case got = <-mails:
			case <-time.After(20 * time.Second):
				t.Fatal("no mail")
			}
			if got.To != address || got.Subject != test.subject || got.MessageID != order+"."+kind+"@shop.example" {
				t.Errorf("mail to %q, subject %q, Message-ID %q", got.To, got.Subject, got.MessageID)
			}
			o.rest()
			status, page := o.list("staff", "?order_id="+order)
			sentAt := o.Now()
			want := web.Page[notificationJSON]{Items: []notificationJSON{{Kind: kind, Status: "sent", MessageID: got.MessageID, SentAt: &sentAt}}}
			if diff := cmp.Diff(want, page); status != http.StatusOK || diff != "" {
				t.Errorf("status %d\n%s", status, diff)
			}
		})
	}
}

func TestWhatIsMailed(t *testing.T) {
	t.Parallel()
	confirmedID, cancelledID := order+".confirmed@shop.example", order+".cancelled@shop.example"
	for name, test := range map[string]struct {
		delivered []events.Event
		want      []string // Message-IDs
	}{
		"nothing for a placed order":          {delivered: []events.Event{placed}},
		"nothing without an address":          {delivered: []events.Event{confirmed}},
		"a confirmation":                      {delivered: []events.Event{placed, confirmed}, want: []string{confirmedID}},
		"a cancellation":                      {delivered: []events.Event{placed, cancelled}, want: []string{cancelledID}},
		"once, however often it is delivered": {delivered: []events.Event{placed, confirmed, confirmed, placed}, want: []string{confirmedID}},
		"what came before the address, later": {delivered: []events.Event{cancelled, placed}, want: []string{cancelledID}},
		"that once, too":                      {delivered: []events.Event{confirmed, confirmed, placed, placed}, want: []string{confirmedID}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", in one batch"}[together], func(t *testing.T) {
				t.Parallel()
				mails := newTray()
				o := setup(t, testConfig, mails)
				o.Work(o.module)
				if together {
					o.Publish(test.delivered...)
					o.Settle()
					if o.Is("SELECT EXISTS (SELECT FROM failed)") {
						t.Error("an event failed")
					}
				} else {
					o.Given(test.delivered...)
				}
				o.rest()
				if diff := cmp.Diff(test.want, mails.take()); diff != "" {
					t.Error(diff)
				}
				if o.Is("SELECT EXISTS (SELECT FROM messages WHERE status = 'sent' AND subject || body <> '')") {
					t.Error("the text of a mail is kept after it is out")
				}
			})
		}
	}
}

// A message that waits for its address is pending, and its text waits with it.
func TestAMailWaitsForItsAddress(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, testConfig, mails)
	o.Work(o.module)
	for range 20 {
		id := uuid.NewString()
		o.Publish(ordersapi.Confirmed{OrderID: id, Total: confirmed.Total, Version: 2})
	}
	o.Given(confirmed)
	if _, page := o.list("staff", "?order_id="+order); len(page.Items) != 1 || page.Items[0].Status != "pending" || page.Items[0].SentAt != nil {
		t.Errorf("staff sees %+v", page)
	}
	if o.Is("SELECT EXISTS (SELECT FROM jobs)") || len(mails) != 0 {
		t.Error("a mail without an address was enqueued")
	}
	o.Given(placed)
	o.rest()
	if got := <-mails; got.To != address || got.Subject != "Your order is confirmed" || !strings.Contains(got.Body, "Total: 25.98 EUR") || len(mails) != 0 {
		t.Errorf("mailed %+v, and %d more", got, len(mails))
	}
	if !o.Is("SELECT count(*) = 20 FROM messages WHERE body <> '' AND status = 'pending'") {
		t.Error("the other messages do not wait any more")
	}
}

// A process claims a mail and freezes. No other sends the mail while the lease lasts, and then it
// goes out, as the same mail; what the first process brings later changes nothing.
func TestExpiredLeaseIsReclaimed(t *testing.T) {
	t.Parallel()
	frozen := make(chan mail)
	cfg := testConfig
	cfg.Poll = time.Hour // it does what it enqueues itself
	o := setup(t, cfg, fakeMailer{sendFunc: func(_ context.Context, m mail) error {
		frozen <- m
		<-frozen
		return errors.New("late")
	}})
	o.Work(o.module)
	o.Given(placed, confirmed)
	first := <-frozen

	mails := newTray()
	second := newModule(testConfig, o.Database.Module(t, "notifications"), o.Log, o.Now, mails)
	o.Run(second.sendMails)
	o.Advance(testConfig.Lease - time.Second)
	o.exec("INSERT INTO jobs (id, kind, key, args, cause, tries, due_at) VALUES ($1, 'mail', '', '{\"to\":\"eve\"}', '{}', 0, $2)", other, o.Now())
	if got := <-mails; got.To != "eve" {
		t.Fatal("the mail was sent under another process's lease")
	}
	o.Advance(time.Second)
	if got := <-mails; got != first {
		t.Errorf("the second claim sends another mail: %+v", got)
	}
	o.rest()
	close(frozen)
	if _, page := o.list("staff", "?order_id="+order); page.Items[0].Status != "sent" {
		t.Errorf("status %s, want sent", page.Items[0].Status)
	}
}

// A process sends as many mails at a time as the setting says, and no more: each waits here until
// the others are being sent as well.
func TestMailsAreSentSideBySide(t *testing.T) {
	t.Parallel()
	sending, goOn := make(chan struct{}, 100), make(chan struct{})
	o := setup(t, testConfig, fakeMailer{sendFunc: func(context.Context, mail) error {
		sending <- struct{}{}
		<-goOn
		return nil
	}})
	o.Work(o.module)
	o.publishCancelled(testConfig.Concurrency + 1)
	o.Settle()
	for range testConfig.Concurrency {
		<-sending
	}
	if !o.Is("SELECT count(*) FILTER (WHERE tries = 1) = $1 AND count(*) = $1 + 1 FROM jobs", testConfig.Concurrency) {
		t.Error("more mails are claimed than may be sent")
	}
	close(goOn)
	o.rest()
	if len(sending) != 1 {
		t.Errorf("%d mails were sent after the first ones, want 1", len(sending))
	}
}

// Two processes find the same backlog: every mail goes out once.
func TestProcessesShareTheBacklog(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	o := setup(t, testConfig, fakeMailer{sendFunc: func(_ context.Context, m mail) error {
		mu.Lock()
		defer mu.Unlock()
		seen[m.MessageID]++
		return nil
	}})
	const backlog = 30
	o.publishCancelled(backlog)
	o.Settle()
	second := newModule(testConfig, o.Database.Module(t, "notifications"), o.Log, o.Now, o.outlet)
	o.Run(second.sendMails)
	o.Work(o.module)
	o.rest()
	if len(seen) != backlog {
		t.Errorf("%d mails, want %d", len(seen), backlog)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was sent %d times", id, times)
		}
	}
}

// What only travels with other statements fails with them, and says which it was.
func TestAQueuedStatementThatFails(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, testConfig, mails)
	o.Work(o.module)
	admin := o.Database.Admin(t)
	for _, constraint := range []string{
		"ALTER TABLE notifications.recipients ADD CONSTRAINT planted CHECK (email <> 'eve@example.com')",
		"ALTER TABLE notifications.messages ADD CONSTRAINT planted CHECK (status <> 'sent')",
	} {
		if _, err := admin.Exec(t.Context(), constraint); err != nil {
			t.Fatal(err)
		}
	}
	// With the handler: the event fails, and those beside it do not.
	o.Publish(ordersapi.Placed{OrderID: other, Email: "eve@example.com", Version: 1}, placed)
	o.Eventually("the event has failed, for the statement that was queued",
		"SELECT EXISTS (SELECT FROM failed WHERE reason LIKE '%InsertRecipients%planted%') AND count(*) = 1 FROM recipients")
	// With the commit of the job's result: the mail is tried again.
	o.Publish(confirmed)
	o.Eventually("the mail was tried, and could not be marked",
		"SELECT EXISTS (SELECT FROM jobs WHERE reason LIKE '%MarkSent%planted%')")
	if _, page := o.list("staff", "?order_id="+order); page.Items[0].Status != "pending" || len(mails) != 1 {
		t.Errorf("status %s, %d mails", page.Items[0].Status, len(mails))
	}
}

// publishCancelled publishes all of so many orders that were cancelled.
func (o *office) publishCancelled(orders int) {
	o.t.Helper()
	var all []events.Event
	for range orders {
		id := uuid.NewString()
		all = append(all, ordersapi.Placed{OrderID: id, Email: address, Version: 1},
			ordersapi.Cancelled{OrderID: id, Reason: "expired", Version: 2})
	}
	o.Publish(all...)
}
