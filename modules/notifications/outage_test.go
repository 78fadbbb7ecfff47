package notifications

import (
	"strings"
	"testing"

	"example.com/shop/platform/devkit/mailsink"
)

// A relay that is not open to us refuses every mail, for as long as it takes to set that right.
// None is lost.
func TestMailsOutliveARelayThatRefusesThemAll(t *testing.T) {
	t.Parallel()
	sink := started(t, mailsink.Options{})
	sink.Refuse("RCPT", "554 5.7.1 Relay access denied")
	o := setup(t, testConfig, nil)
	o.use(sink.Addr(), nil)
	o.Work(o.module)
	o.publishCancelled(3)
	o.Settle()
	for n := range 40 {
		o.Advance(2 * backoffMost)
		o.Eventually("all have failed", "SELECT bool_and(tries > $1 AND due_at > $2 AND due_at <> $3) FROM jobs", // $3: those under way
			n, o.Now(), o.Now().Add(testConfig.Lease))
	}
	if !o.Is("SELECT count(*) = 3 AND bool_and(dead_at IS NULL) FROM jobs") {
		t.Error("not every mail is tried on after 40 attempts")
	}
	sink.Refuse("", "")
	o.Advance(2 * backoffMost)
	o.rest()
	if got := sink.Messages(""); len(got) != 3 || !o.Is("SELECT bool_and(status = 'sent') FROM messages") {
		t.Errorf("%d mails got through, want 3", len(got))
	}
}

// The mail server is gone, comes back busy, and then takes the mail. The customer gets it once.
func TestDeadMailServerHeals(t *testing.T) {
	t.Parallel()
	gone := listen(t)
	addr := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	o := setup(t, testConfig, nil)
	o.use(addr, nil)
	o.Work(o.module)
	o.Given(placed, confirmed)
	o.expect(t, order, "pending", "the mail server cannot be reached")

	back := started(t, mailsink.Options{Addr: addr, FailFirst: 1})
	o.Advance(2 * backoffMost)
	o.Eventually("the server was busy", "SELECT reason LIKE '%refused us with 451%' FROM jobs")
	o.Advance(2 * backoffMost)
	o.rest()
	got := back.Messages(address)
	if len(got) != 1 || got[0].MessageID != order+".confirmed@shop.example" || !strings.Contains(got[0].Body, "Total: 25.98 EUR") {
		t.Errorf("the mailbox holds %+v", got)
	}
	o.expect(t, order, "sent")
}
