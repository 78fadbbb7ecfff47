package notifications

import (
	"strings"
	"testing"
)

// Several mails travel on one connection, one after the other, until no mail has needed it for a
// while or the process ends. One that is refused there does not end it for the others. A server may
// close it at any time, or take no more mails on it: the mail is then sent on a new one, and has
// not failed. If it breaks after RCPT TO, the mail may have been sent, and is retried later.
func TestConnections(t *testing.T) {
	t.Parallel()
	type script = map[string]string
	const first, next = "EHLO MAIL RCPT DATA .", "RSET MAIL RCPT DATA ."
	for name, test := range map[string]struct {
		script   script // of each connection
		statuses string // of the mails
		commands []string
	}{
		"refusals": {
			script{"RCPT 2": "550 5.1.1 unknown", ". 2": "452 4.3.1 disk full"},
			"sent failed pending sent", []string{first, "RSET MAIL RCPT", next, next, "QUIT"},
		},
		"idle":                         {nil, "sent sent", []string{first + " QUIT", first, "QUIT"}},
		"closed after each mail":       {script{".": "250 taken, and bye"}, "sent sent", []string{first, first, ""}},
		"closed while it was idle":     {script{"RSET": ""}, "sent sent", []string{first, "RSET " + first, "QUIT"}},
		"421 to the next command":      {script{"RSET": "421 4.4.2 idle, bye"}, "sent sent", []string{first, "RSET " + first, "QUIT"}},
		"421 to the next mail":         {script{"MAIL 2": "421 4.7.0 no more, bye"}, "sent sent", []string{first, "RSET MAIL " + first, "QUIT"}},
		"closed at the next mail":      {script{"MAIL 2": ""}, "sent sent", []string{first, "RSET MAIL " + first, "QUIT"}},
		"no more mails, and not ended": {script{"MAIL 2": "452 too many"}, "sent sent", []string{first, "RSET MAIL " + first, "QUIT"}},
		"broken after RCPT TO":         {script{". 2": ""}, "sent pending sent", []string{first, next, first, "QUIT"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, server := setup(t, tray(nil)), serve(t)
			o.use(server.addr, nil)
			stop := o.Work(o.module)
			server.script <- test.script
			server.script <- test.script
			for n, status := range strings.Fields(test.statuses) {
				o.expect(t, o.send(address), status)
				server.expect(t, strings.Fields(test.commands[n])...)
			}
			stop()
			server.expect(t, strings.Fields(test.commands[len(test.commands)-1])...)
		})
	}
}
