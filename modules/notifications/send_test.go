package notifications

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/notifications/internal/db"
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

// The whole path, with the workers running: an event comes in, a mail goes out, staff sees it.
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
			o := setup(t, testConfig, mails)
			for _, w := range o.module.Workers() {
				run(t, w.Run)
			}
			o.tell(placed, test.ended)

			var got mail
			select {
			case got = <-mails:
			case <-time.After(20 * time.Second):
				t.Fatal("no mail")
			}
			if got.to != address || got.subject != test.subject || got.messageID != order+"."+kind+"@shop.example" {
				t.Errorf("mail to %q, subject %q, Message-ID %q", got.to, got.subject, got.messageID)
			}
			o.eventually("the message is sent", "SELECT EXISTS (SELECT FROM messages WHERE status = 'sent')")
			status, page := o.list("staff", "?order_id="+order)
			sentAt := o.now()
			want := web.Page[notificationJSON]{Items: []notificationJSON{{Kind: kind, Status: "sent", MessageID: got.messageID, SentAt: &sentAt}}}
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
		told []events.Event
		want []string // Message-IDs
	}{
		"nothing for a placed order":          {told: []events.Event{placed}},
		"nothing without an address":          {told: []events.Event{confirmed}},
		"a confirmation":                      {told: []events.Event{placed, confirmed}, want: []string{confirmedID}},
		"a cancellation":                      {told: []events.Event{placed, cancelled}, want: []string{cancelledID}},
		"once, however often it is told":      {told: []events.Event{placed, confirmed, confirmed, placed}, want: []string{confirmedID}},
		"what came before the address, later": {told: []events.Event{cancelled, placed}, want: []string{cancelledID}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mails := newTray()
			o := setup(t, testConfig, mails)
			for _, e := range test.told {
				o.tell(e)
				o.sendDue()
				o.sendDue()
			}
			close(mails)
			var got []string
			for m := range mails {
				got = append(got, m.messageID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A worker claims a message and dies. Nobody touches the message while the lease lasts, and then it goes out, as the same mail.
func TestExpiredLeaseIsReclaimed(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, testConfig, mails)
	o.tell(placed, confirmed)
	dead, err := db.New(o.pool).ClaimMessages(t.Context(), db.ClaimMessagesParams{
		Now: o.now(), LeaseUntil: o.now().Add(testConfig.Lease), Batch: 1,
	})
	if err != nil || len(dead) != 1 {
		t.Fatalf("claimed %d, error %v", len(dead), err)
	}

	o.advance(testConfig.Lease - time.Second)
	o.sendDue()
	if len(mails) != 0 {
		t.Fatal("the message was sent under another worker's lease")
	}
	o.advance(time.Second)
	o.sendDue()
	if len(mails) != 1 {
		t.Fatalf("%d mails, want 1", len(mails))
	}
	if got := <-mails; got.messageID != dead[0].MessageID || got.body != dead[0].Body {
		t.Errorf("the second claim sends another mail: %+v", got)
	}

	// The dead worker was only slow: its failure comes too late to count.
	err = db.New(o.pool).MarkFailure(t.Context(), db.MarkFailureParams{
		ID: dead[0].ID, Attempts: dead[0].Attempts, Status: statusFailed, NextAt: o.now(), Reason: "late",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, page := o.list("staff", "?order_id="+order); page.Items[0].Status != "sent" {
		t.Errorf("status %s, want sent", page.Items[0].Status)
	}
}

// A worker has as many mails in hand as the setting says, and no more: each waits here until the others are being sent as well.
func TestMailsAreSentSideBySide(t *testing.T) {
	t.Parallel()
	mails := newTray()
	var all sync.WaitGroup
	all.Add(int(testConfig.Concurrency))
	o := setup(t, testConfig, fakeMailer{sendFunc: func(ctx context.Context, m mail) error {
		all.Done() // panics for one too many
		together := make(chan struct{})
		go func() { all.Wait(); close(together) }()
		select {
		case <-together:
			return mails.Send(ctx, m)
		case <-ctx.Done():
			return ctx.Err()
		}
	}})
	for range testConfig.Concurrency + 1 {
		o.publishCancelled()
	}
	o.settle()
	more, err := o.module.sendDue(t.Context())
	if err != nil || !more || len(mails) != int(testConfig.Concurrency) {
		t.Errorf("sent %d of %d side by side, more %v, error %v", len(mails), testConfig.Concurrency, more, err)
	}
}

// Two workers find the same backlog: every mail goes out once.
func TestWorkersShareTheBacklog(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	o := setup(t, testConfig, fakeMailer{sendFunc: func(_ context.Context, m mail) error {
		mu.Lock()
		defer mu.Unlock()
		seen[m.messageID]++
		return nil
	}})
	const backlog = 30
	for range backlog {
		o.publishCancelled()
	}
	o.settle()
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for more := true; more; {
				var err error
				if more, err = o.module.sendDue(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()
	o.sendDue()
	if len(seen) != backlog {
		t.Errorf("%d mails, want %d", len(seen), backlog)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was sent %d times", id, times)
		}
	}
}

// publishCancelled publishes all of an order that was cancelled.
func (o *office) publishCancelled() {
	o.t.Helper()
	id := uuid.NewString()
	o.publish(ordersapi.Placed{OrderID: id, Email: address, Version: 1}, ordersapi.Cancelled{OrderID: id, Reason: "expired", Version: 2})
}
