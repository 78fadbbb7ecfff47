package notifications

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

// The whole path: an event comes in, a mail goes out, staff sees it.
func TestAnEndedOrderIsMailed(t *testing.T) {
	t.Parallel()
	for kind, test := range map[string]struct {
		ended         events.Event
		subject, text string
	}{
		kindConfirmed: {confirmed, "Your order is confirmed", "Total: 25.98 EUR\n"},
		kindCancelled: {cancelled, "Your order was cancelled", "the payment was declined"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			mails := newTray()
			o := setup(t, mails)
			o.Work(o.module)
			o.Given(placed, test.ended)
			o.rest()
			got := <-mails
			want := mail{To: address, Subject: test.subject, Body: got.Body, MessageID: order + "." + kind + "@shop.example"}
			if got != want || !strings.Contains(got.Body, order) || !strings.Contains(got.Body, test.text) {
				t.Errorf("mailed %+v", got)
			}
			sentAt := o.Now()
			seen := web.Page[notificationJSON]{
				Items: []notificationJSON{{Kind: kind, Status: "sent", MessageID: got.MessageID, SentAt: &sentAt}},
			}
			if diff := cmp.Diff(seen, o.list(order)); diff != "" {
				t.Error(diff)
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
		"once, however often it is delivered": {delivered: []events.Event{placed, confirmed, confirmed, placed}, want: []string{confirmedID}},
		"what came before the address, later": {delivered: []events.Event{cancelled, placed}, want: []string{cancelledID}},
		"that once, too":                      {delivered: []events.Event{confirmed, confirmed, placed, placed}, want: []string{confirmedID}},
	} {
		for _, together := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", in one batch"}[together], func(t *testing.T) {
				t.Parallel()
				mails := newTray()
				o := setup(t, mails)
				o.Work(o.module)
				if together {
					o.Publish(test.delivered...)
					o.Settle()
				} else {
					o.Given(test.delivered...)
				}
				o.rest()
				if diff := cmp.Diff(test.want, mails.take(t)); diff != "" {
					t.Error(diff)
				}
				if o.Is("SELECT EXISTS (SELECT FROM messages WHERE status = 'sent' AND subject || body <> '')") {
					t.Error("the text of a mail is kept after it is out")
				}
			})
		}
	}
}

// A message that waits for its address is pending, and its text waits with it. Each mail has the
// text of its own order.
func TestAMailWaitsForItsAddress(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, mails)
	o.Work(o.module)
	const n = 20
	var addresses, ends []events.Event
	var want []string
	for range n {
		id := uuid.NewString()
		addresses = append(addresses, ordersapi.Placed{OrderID: id, Email: address, Version: 1})
		ends = append(ends, ordersapi.Confirmed{OrderID: id, Total: confirmed.Total, Version: 2})
		want = append(want, id+".confirmed@shop.example")
	}
	o.Publish(ends[:n/2]...)
	o.Given(confirmed)
	if page := o.list(order); len(page.Items) != 1 || page.Items[0].Status != "pending" || page.Items[0].SentAt != nil {
		t.Errorf("staff sees %+v", page)
	}
	if o.Is("SELECT EXISTS (SELECT FROM jobs)") || len(mails) != 0 {
		t.Error("a mail without an address was enqueued")
	}
	o.Given(placed)
	o.rest()
	if diff := cmp.Diff([]string{order + ".confirmed@shop.example"}, mails.take(t)); diff != "" {
		t.Error(diff)
	}
	if !o.Is("SELECT count(*) = $1 FROM messages WHERE body <> '' AND status = 'pending'", n/2) {
		t.Error("the other messages do not wait any more")
	}
	o.Publish(addresses...)
	o.Settle()
	o.Publish(ends[n/2:]...)
	o.Settle()
	o.rest()
	if diff := cmp.Diff(want, mails.take(t), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("once the addresses have come (-want +got):\n%s", diff)
	}
}
