package notifications

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/modules/notifications/notificationssim"
	"example.com/shop/modules/orders/ordersapi"
)

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

// scripted is a mail server that gives the scripted answer to a command, or to its nth as in "MAIL
// 2", else the polite one. It hangs up after an empty answer and after one that ends with bye.
type scripted struct {
	addr     string
	script   chan map[string]string // of each conversation, one after the other
	commands chan string            // the commands
}

func serve(t *testing.T) scripted {
	t.Helper()
	listener := listen(t)
	s := scripted{listener.Addr().String(), make(chan map[string]string, 3), make(chan string, 1000)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.converse(conn, <-s.script)
		}
	}()
	return s
}

func (s scripted) converse(conn net.Conn, script map[string]string) {
	defer func() { _ = conn.Close() }()
	answers := map[string]string{"": "220 ready", "DATA": "354 go on", ".": "250 taken", "QUIT": "221 bye"}
	maps.Copy(answers, script)
	count := map[string]int{}
	lines := bufio.NewScanner(conn)
	for command := ""; ; {
		count[command]++
		answer, scripted := answers[fmt.Sprint(command, " ", count[command])]
		if !scripted {
			answer, scripted = answers[command]
		}
		if !scripted {
			answer = "250 ok"
		}
		if answer == "" {
			return
		}
		if _, err := conn.Write([]byte(answer + "\r\n")); err != nil || strings.HasSuffix(answer, "bye") {
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
		s.commands <- command
	}
}

// expect fails unless these are the commands that came, up to the last of them.
func (s scripted) expect(t *testing.T, want ...string) {
	t.Helper()
	for i := range want {
		select {
		case got := <-s.commands:
			if got != want[i] {
				t.Fatalf("%s, and not %s, came after %v", got, want[i], want[:i])
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s came after %v", want[i], want[:i])
		}
	}
}

// started is a mail server that keeps what it takes.
func started(t *testing.T, o notificationssim.Options) *notificationssim.Sink {
	t.Helper()
	sink, err := notificationssim.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// send publishes all of an order that was confirmed.
func (o *office) send(email string) (order string) {
	o.t.Helper()
	order = uuid.NewString()
	o.Given(ordersapi.Placed{OrderID: order, Email: email, Version: 1},
		ordersapi.Confirmed{OrderID: order, Total: confirmed.Total, Version: 2})
	return order
}

// expect waits until the order's mail was tried, and fails unless its message has this status, and
// each of these parts in the reason.
func (o *office) expect(t *testing.T, order, status string, reason ...string) {
	t.Helper()
	o.Eventually("the mail was tried", `SELECT sent_at IS NOT NULL OR coalesce(j.reason, '') <> ''
		FROM messages LEFT JOIN jobs AS j USING (id) WHERE order_id = $1`, order)
	var why string
	err := o.DB.QueryRow(t.Context(), "SELECT coalesce(max(reason), '') FROM jobs WHERE key = $1", order).Scan(&why)
	if err != nil {
		t.Fatal(err)
	}
	if got := o.list(order).Items[0].Status; got != status {
		t.Errorf("status %s, want %s; reason %q", got, status, why)
	}
	for _, part := range reason {
		if !strings.Contains(why, part) {
			t.Errorf("reason %q, want one with %q", why, part)
		}
	}
	if strings.Contains(why, "@") {
		t.Errorf("an address is in the reason %q", why)
	}
}

// At each step of the session, a refusal of the mail or its address is final, and any other is
// retried.
func TestRefusals(t *testing.T) {
	t.Parallel()
	sink, other := started(t, notificationssim.Options{}), serve(t)
	o := working(t, sink.Addr())
	const pending, failed = "pending", "failed"
	for _, test := range []struct{ command, answer, status, reason string }{
		{"", "554 5.7.1 <ada@mail.example> not you", pending, "refused us with 554 5.7.1 at the greeting"},
		{"", "421 busy", pending, "refused us with 421 at the greeting"},
		{"", "", pending, "broke off at the greeting"},
		{"", "HTTP/1.1 400 Bad Request", pending, "broke off at the greeting"},
		{"EHLO", "550 5.7.1 HELO rejected", pending, "refused us with 550 5.7.1 at EHLO"},
		{"MAIL", "451 greylisted", pending, "refused us with 451 at MAIL FROM"},
		{"MAIL", "530 5.7.0 Authentication required", pending, "530 5.7.0 at MAIL FROM; it wants TLS or a login"},
		{"MAIL", "550 5.1.8 sender's domain not found", pending, "refused us with 550 5.1.8 at MAIL FROM"},
		{"MAIL", "550 not allowed to send", pending, "refused us with 550 at MAIL FROM"},
		{"RCPT", "451 4.7.1 greylisted", pending, "refused us with 451 at RCPT TO"},
		{"RCPT", "554 5.7.1 <ada@mail.example>: Relay access denied", pending, "refused us with 554 5.7.1 at RCPT TO"},
		{"RCPT", "550 5.7.1 Relaying denied", pending, "550 5.7.1"},
		{"RCPT", "554 Relay access denied", pending, "refused us with 554 at RCPT TO"},
		{"RCPT", "550 relay not permitted", pending, "refused us with 550 at RCPT TO"},
		{"RCPT", "553 that domain is not in my list of rcpthosts (#5.7.1)", pending, "refused us with 553 5.7.1 at RCPT TO"},
		{"RCPT", "550 5.1.0 <orders@shop.example>: Sender address rejected", pending, "refused us with 550 5.1.0 at RCPT TO"},
		{"RCPT", "553 5.1.8 domain of sender not found", pending, "refused us with 553 5.1.8"},
		{"RCPT", "503 5.5.1 not now", pending, "503 5.5.1"},
		{"RCPT", "550 5.1.1 <ada@mail.example> is unknown here", failed, "refused the mail with 550 5.1.1 at RCPT TO"},
		{"RCPT", "550 5.1.1 <bob@relay.example>: Recipient address rejected: User unknown", failed, "550 5.1.1 at RCPT TO"},
		{"RCPT", "550 5.1.1 <sender@mail.example>... User unknown", failed, "550 5.1.1 at RCPT TO"},
		{"RCPT", "550 bob+x@smtp.relay.example: no such user", failed, "refused the mail with 550 at RCPT TO"},
		{"RCPT", "550 5.1.2 relay.example takes no mail", failed, "550 5.1.2 at RCPT TO"},
		{"RCPT", "550 <bob@shop.example>...Relaying denied", pending, "refused us with 550 at RCPT TO"},
		{"RCPT", "550 5.4.1 Recipient address rejected: Access denied.", failed, "550 5.4.1 at RCPT TO"}, // Microsoft 365
		{"RCPT", "550 5.4.1 Relay Access Denied", pending, "refused us with 550 5.4.1 at RCPT TO"},
		{"MAIL", "550 5.4.1 no answer from host", pending, "refused us with 550 5.4.1 at MAIL FROM"},
		{"RCPT", "550 5.0.0 no such user", failed, "550 5.0.0 at RCPT TO"},
		{"RCPT", "550 no such user", failed, "refused the mail with 550 at RCPT TO"},
		{"RCPT", "553 no such mailbox", failed, "refused the mail with 553 at RCPT TO"},
		{"RCPT", "556 5.1.10 the domain takes no mail", failed, "556 5.1.10"},
		{"RCPT", "550 5.2.1 mailbox disabled", failed, "550 5.2.1"},
		{"DATA", "554 5.5.1 no", pending, "refused us with 554 5.5.1 at DATA"},
		{".", "452 4.3.1 disk full", pending, "refused us with 452 at the end of the mail"},
		{".", "550 5.7.60 may not send as this sender", pending, "refused us with 550 5.7.60 at the end of the mail"},
		{".", "554 Message rejected: address is not verified", pending, "refused us with 554 at the end"},
		{".", "550 5.6.0 ada@mail.example cannot show this", failed, "550 5.6.0 at the end of the mail"},
		{".", "", pending, "broke off at the end of the mail"},
	} {
		t.Run(test.command+" "+test.answer, func(t *testing.T) {
			if test.command == "" || test.command == "DATA" || test.answer == "" { // which the sink cannot answer
				o.use(other.addr, nil)
				other.script <- map[string]string{test.command: test.answer}
				o.expect(t, o.send(address), test.status, test.reason)
				return
			}
			o.use(sink.Addr(), nil)
			sink.Refuse(strings.Replace(test.command, ".", "DATA", 1), test.answer)
			order := o.send(address)
			o.expect(t, order, test.status, test.reason)

			sink.Refuse("", "") // a person has set it right
			o.Advance(2 * backoffMost)
			o.rest()
			got := slices.ContainsFunc(sink.Messages(address), func(m notificationssim.Message) bool { return strings.HasPrefix(m.MessageID, order) })
			if got != (test.status == pending) {
				t.Errorf("mailed after that: %v, and it was %s", got, test.status)
			}
		})
	}
}

// What happens at the goodbye must not send the mail again, and no other address gets a mail than
// the one of the order.
func TestOneMailToOneAddress(t *testing.T) {
	t.Parallel()
	rude, sink := serve(t), started(t, notificationssim.Options{})
	o := working(t, rude.addr)
	rude.script <- map[string]string{"QUIT": ""}
	o.expect(t, o.send(address), "sent")
	o.use(sink.Addr(), nil)
	for _, email := range []string{"ada@", "ada@mail.example, eve@mail.example", "ada@mail.example\r\nBcc: eve@mail.example"} {
		o.expect(t, o.send(email), "failed", "malformed")
	}
	if got := sink.Messages(""); len(got) != 0 {
		t.Errorf("mailed %+v", got)
	}
}

// The mail server is gone, and comes back. The customer gets the mail once.
func TestDeadMailServerHeals(t *testing.T) {
	t.Parallel()
	gone := listen(t)
	addr := gone.Addr().String()
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	o := working(t, addr)
	order := o.send(address)
	o.expect(t, order, "pending", "the mail server cannot be reached")
	back := started(t, notificationssim.Options{Addr: addr})
	o.Advance(2 * backoffMost)
	o.rest()
	if got := back.Messages(address); len(got) != 1 || got[0].MessageID != order+".confirmed@shop.example" {
		t.Errorf("the mailbox holds %+v", got)
	}
}
