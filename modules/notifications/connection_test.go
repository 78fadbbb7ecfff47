package notifications

import (
	"strings"
	"testing"
)

var (
	hello = []string{"EHLO"}
	first = []string{"MAIL", "RCPT", "DATA", "."}
	next  = append([]string{"RSET"}, first...)
)

// Several mails travel on one connection, one after the other; one that is refused there does not
// end it for the others. It ends with the process's work.
func TestOneConnectionCarriesSeveralMails(t *testing.T) {
	t.Parallel()
	o, server := setup(t, tray(nil)), serve(t)
	o.use(server.addr, nil)
	stop := o.Work(o.module)
	server.script <- map[string]string{"RCPT 2": "550 5.1.1 unknown", ". 2": "452 4.3.1 disk full"}
	for _, status := range []string{"sent", "failed", "pending", "sent"} {
		o.expect(t, o.send(address), status)
	}
	server.expect(t, hello...)
	server.expect(t, first...)
	server.expect(t, "RSET", "MAIL", "RCPT") // and refused
	server.expect(t, next...)
	server.expect(t, next...)
	stop()
	server.expect(t, "QUIT")
}

// A connection that no mail needs is ended after a while.
func TestAnIdleConnectionEnds(t *testing.T) {
	t.Parallel()
	server := serve(t)
	o := working(t, server.addr)
	server.script <- nil
	o.expect(t, o.send(address), "sent")
	server.expect(t, hello...)
	server.expect(t, first...)
	server.expect(t, "QUIT")
	server.script <- nil
	o.expect(t, o.send(address), "sent")
	server.expect(t, hello...)
}

// A server may close a connection at any time, or accept no more mails on it. The mail is then sent
// on a new one, and has not failed.
func TestAStaleConnection(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]map[string]string{
		"closed after each mail":       {".": "250 taken, and bye"},
		"closed while it was idle":     {"RSET": ""},
		"421 to the next command":      {"RSET": "421 4.4.2 idle for too long, bye"},
		"421 to the next mail":         {"MAIL 2": "421 4.7.0 too many mails, bye"},
		"closed at the next mail":      {"MAIL 2": ""},
		"no more mails, and not ended": {"MAIL 2": "452 too many mails"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t)
			o := working(t, server.addr)
			for range 3 {
				server.script <- script
				o.expect(t, o.send(address), "sent")
			}
			if strings.Contains(o.Logged(), "job failed") {
				t.Errorf("it counts as a failure:\n%s", o.Logged())
			}
			connections := 0
			for len(server.commands) > 0 {
				if <-server.commands == "EHLO" {
					connections++
				}
			}
			if connections != 3 {
				t.Errorf("%d connections for 3 mails", connections)
			}
		})
	}
}

// A mail whose connection breaks after RCPT TO may have been sent: it is retried later, on a new
// connection.
func TestAConnectionThatBreaksIsClosed(t *testing.T) {
	t.Parallel()
	server := serve(t)
	o := working(t, server.addr)
	server.script <- map[string]string{". 2": ""}
	o.expect(t, o.send(address), "sent")
	o.expect(t, o.send(address), "pending", "broke off at the end of the mail")
	server.script <- nil
	o.Advance(2 * backoffMost)
	o.rest()
}
