package notifications

import (
	"testing"
	"time"

	"example.com/shop/modules/notifications/notificationssim"
)

// A mail server may be named by an IPv6 address, as the processes of a pod are. What is inside the
// quotes of an address is a name, whatever it looks like, and no other mailbox and no command.
func TestMailboxes(t *testing.T) {
	t.Parallel()
	sink, err := notificationssim.Start(notificationssim.Options{Addr: "[::1]:0"})
	if err != nil { // the loopback has no IPv6 address
		sink = started(t, notificationssim.Options{})
	}
	t.Cleanup(func() { _ = sink.Close() })
	server := newSMTPMailer(Config{SMTPAddr: sink.Addr(), From: "orders@shop.example", SendTimeout: 6 * time.Second, Concurrency: 1})
	t.Cleanup(server.Close)
	for to, mailbox := range map[string]string{
		"ada@mail.example": "ada@mail.example",
		`"eve@evil.example> ORCPT=eve@evil.example"@mail.example`: `eve@evil.example> ORCPT=eve@evil.example@mail.example`,
		`"ada lovelace"@mail.example`:                             `ada lovelace@mail.example`,
		`"eve@evil.example"@mail.example`:                         `eve@evil.example@mail.example`,
	} {
		if err := server.Send(t.Context(), mail{To: to, Subject: "s", Body: "b", MessageID: "1@shop.example"}); err != nil {
			t.Errorf("%s: %v", to, err)
		}
		if got := sink.Messages(mailbox); len(got) != 1 {
			t.Errorf("%s: the sink has %v, and %v for %s", to, sink.Messages(""), got, mailbox)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Address{
		"orders@shop.example": "orders@shop.example", "Shop <orders@shop.example>": "orders@shop.example", "orders": "", "": "",
		`"orders"@shop.example`: "orders@shop.example", `"a b"@shop.example`: "", `"x@y"@shop.example`: "",
	} {
		var got Address
		if err := got.UnmarshalText([]byte(text)); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, error %v; want %q", text, got, err, want)
		}
	}
}

// A refused sender makes no mail dead: all are sent once a person has corrected the setting.
func TestMailsOutliveASenderThatIsNone(t *testing.T) {
	t.Parallel()
	sink := started(t, notificationssim.Options{})
	o := working(t, sink.Addr())
	o.use(sink.Addr(), func(c *Config) { c.From = "a b@shop.example" })
	o.expect(t, o.send(address), "pending", "NOTIFICATIONS_FROM")
}
