package notifications

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/mailsink"
)

var testMail = mail{to: address, subject: "Your order is confirmed", body: "Order: 1\n", messageID: order + ".confirmed@shop.example"}

// listen takes a free port until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// serve is a mail server of one conversation: it gives the scripted answer to a command, else the polite one. An empty answer
// hangs up.
func serve(t *testing.T, script map[string]string) (addr string) {
	t.Helper()
	listener := listen(t)
	polite := map[string]string{"": "220 ready", "DATA": "354 go on", ".": "250 taken", "QUIT": "221 bye"}
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		lines := bufio.NewScanner(conn)
		for command := ""; ; {
			answer, scripted := script[command]
			switch {
			case scripted && answer == "":
				return
			case !scripted && polite[command] != "":
				answer = polite[command]
			case !scripted:
				answer = "250 ok"
			}
			if _, err := conn.Write([]byte(answer + "\r\n")); err != nil {
				return
			}
			more := lines.Scan()
			for strings.HasPrefix(answer, "354") && more && lines.Text() != "." { // the mail itself
				more = lines.Scan()
			}
			if !more {
				return
			}
			command, _, _ = strings.Cut(lines.Text(), " ")
		}
	}()
	return listener.Addr().String()
}

func TestSMTP(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script map[string]string
		to     string
		want   string // the error; none means taken
		never  bool   // a later attempt would be refused as well
	}{
		"taken": {},
		// The mail is out, so what happens at the goodbye must not send it again.
		"taken, then hung up":     {script: map[string]string{"QUIT": ""}},
		"recipient refused":       {script: map[string]string{"RCPT": "550 5.1.1 <ada@example.com> is unknown here"}, want: "refused the mail with 550", never: true},
		"try later":               {script: map[string]string{"MAIL": "451 greylisted"}, want: "refused the mail with 451"},
		"mail refused":            {script: map[string]string{".": "554 ada@example.com wants no mail"}, want: "refused the mail with 554", never: true},
		"hung up in the mail":     {script: map[string]string{".": ""}, want: "cut off"},
		"turned away at the door": {script: map[string]string{"": "554 not you"}, want: "did not greet"},
		"an address that is none": {to: "ada@", want: "malformed", never: true},
		"two addresses, not one":  {to: "ada@example.com, eve@example.com", want: "malformed", never: true},
		"a header in the address": {to: "ada@example.com\r\nBcc: eve@example.com", want: "malformed", never: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newSMTPMailer(Config{SMTPAddr: serve(t, test.script), From: "orders@shop.example", SendTimeout: 6 * time.Second})
			m := testMail
			if test.to != "" {
				m.to = test.to
			}
			err := server.Send(t.Context(), m)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("not taken: %v", err)
			case test.want != "" && err == nil:
				t.Error("taken")
			case test.want != "" && !strings.Contains(err.Error(), test.want):
				t.Errorf("error %q, want one with %q", err, test.want)
			}
			if errors.Is(err, errPermanent) != test.never {
				t.Errorf("error %q, permanent must be %v", err, test.never)
			}
			if err != nil && strings.Contains(err.Error(), "@") {
				t.Errorf("an address is in the error: %v", err)
			}
		})
	}
}

// The mail server is gone, comes back busy, and then takes the mail. The wait costs few attempts, and the customer gets one mail.
func TestDeadMailServerHeals(t *testing.T) {
	t.Parallel()
	gone := listen(t)
	addr := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig
	cfg.SMTPAddr, cfg.MaxAttempts = addr, 290
	o := setup(t, cfg, newSMTPMailer(cfg))
	o.tell(placed, confirmed)

	for range 60 { // a minute, with a look every second
		o.sendDue()
		o.advance(time.Second)
	}
	if !o.is("SELECT status = 'pending' AND attempts BETWEEN 4 AND 6 AND reason LIKE 'the mail server cannot be reached%' FROM messages") {
		t.Error("a minute without a mail server did not take 4 to 6 attempts")
	}

	back, err := mailsink.Start(mailsink.Options{Addr: addr, FailFirst: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := back.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		o.advance(2 * backoffMax)
		o.sendDue()
	}
	got := back.Messages(address)
	if len(got) != 1 || got[0].MessageID != order+".confirmed@shop.example" || !strings.Contains(got[0].Body, "Total: 25.98 EUR") {
		t.Errorf("the mailbox holds %+v", got)
	}
	if _, page := o.list("staff", "?order_id="+order); page.Items[0].Status != "sent" {
		t.Errorf("status %s, want sent", page.Items[0].Status)
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Address{
		"orders@shop.example": "orders@shop.example", "Shop <orders@shop.example>": "orders@shop.example", "orders": "", "": "",
	} {
		var got Address
		if err := got.UnmarshalText([]byte(text)); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, error %v; want %q", text, got, err, want)
		}
	}
}
