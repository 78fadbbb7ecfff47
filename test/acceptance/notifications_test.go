package acceptance

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// These types repeat the wire format on purpose, so that a change of it fails here.
type notification struct {
	Kind      string `json:"kind"`
	Status    string `json:"status"`
	MessageID string `json:"message_id"`
}

type mail struct {
	To        string `json:"to"`
	Subject   string `json:"subject"`
	MessageID string `json:"message_id"`
	Body      string `json:"body"`
}

// Whatever test settles an order, its customer has one mail that says how. The mails are those of
// MAIL_URL, as the sandbox shows them.
func init() {
	alsoSettled = append(alsoSettled, func(t *testing.T, c customer, o order) {
		t.Helper()
		mails := c.mailed(t, o.ID, o.Status)
		if !strings.Contains(mails[0].Body, o.ID) || mails[0].MessageID == "" {
			t.Errorf("mail: %+v", mails[0])
		}
	})
}

// mailed waits until exactly these kinds were sent for the order, and are in the mailbox.
func (c customer) mailed(t *testing.T, id string, kinds ...string) []mail {
	t.Helper()
	sent := eventually(t, func() ([]notification, bool) {
		var sent []notification
		for _, n := range get[page[notification]](t, staff(), "/v1/notifications?order_id="+id).Items {
			if n.Status == "sent" {
				sent = append(sent, n)
			}
		}
		return sent, len(sent) == len(kinds)
	})
	for i, n := range sent {
		if n.Kind != kinds[i] {
			t.Errorf("notification %d is %s, want %s", i, n.Kind, kinds[i])
		}
	}
	return eventually(t, func() ([]mail, bool) {
		box := c.mailbox(t)
		return box, len(box) == len(kinds)
	})
}

func (c customer) mailbox(t *testing.T) []mail {
	t.Helper()
	box := request{method: http.MethodGet, base: os.Getenv("MAIL_URL"), path: "/messages?to=" + url.QueryEscape(c.email)}
	return decode[page[mail]](t, box.send(t), http.StatusOK).Items
}
