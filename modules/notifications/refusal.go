package notifications

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strings"
)

// describe returns an error that says why a mail was not accepted and which setting may be wrong,
// without the server's text, which may quote an address.
func (s *smtpMailer) describe(at step, err error) error {
	setting := ""
	var refused *textproto.Error
	answered := errors.As(err, &refused)
	switch {
	case at == atTLS:
		setting = "; NOTIFICATIONS_SMTP_TLS is " + s.cfg.SMTPTLS
	case at == atLogin:
		setting = "; see NOTIFICATIONS_SMTP_USERNAME and NOTIFICATIONS_SMTP_PASSWORD"
	case answered && refused.Code == 530: // RFC 3207 and RFC 4954
		setting = "; it wants TLS or a login: see NOTIFICATIONS_SMTP_TLS and NOTIFICATIONS_SMTP_USERNAME"
	}
	switch {
	case answered && ofTheMail(at, refused):
		return fmt.Errorf("the mail server refused the mail with %s at %s, %w", status(refused), at, errPermanent)
	case answered:
		return fmt.Errorf("the mail server refused us with %s at %s%s", status(refused), at, setting)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the mail server did not answer in time at %s%s", at, setting)
	case at == atConnect:
		return fmt.Errorf("the mail server cannot be reached: %w", err)
	case at == atTLS:
		return fmt.Errorf("no TLS with the mail server: %w%s", err, setting)
	default:
		return fmt.Errorf("the conversation with the mail server broke off at %s%s", at, setting)
	}
}

// enhanced matches the status code of RFC 3463 that begins a reply, or is in it as qmail writes it.
var enhanced = regexp.MustCompile(`(?:^|#)(5\.\d{1,3}\.\d{1,3})\b`)

// aboutUs matches replies to RCPT TO that refuse the sender: "relay not permitted", "Sender address
// rejected". quoted matches the names in a reply, which do not count: bob@relay.example.
var (
	aboutUs = regexp.MustCompile(`(?i)relay|sender`)
	quoted  = regexp.MustCompile(`<[^>]*>|[^\s.@]+([.@][^\s.@]+)+`)
)

// ofTheMail reports whether a reply refuses this mail or its address for good. Any other refusal
// concerns every mail until a person repairs it: no access to a relay, no login.
func ofTheMail(at step, refused *textproto.Error) bool {
	if refused.Code < 500 || at != atRcpt && at != atData && at != atEnd ||
		aboutUs.MatchString(quoted.ReplaceAllLiteralString(refused.Msg, "")) {
		return false
	}
	code := ""
	if found := enhanced.FindStringSubmatch(refused.Msg); found != nil {
		code = found[1]
	}
	switch {
	case code == "5.1.7", code == "5.1.8": // the sender's address
		return false
	case code == "5.4.1" && at == atRcpt: // Microsoft 365's code for a mailbox that it does not have
		return true
	case code != "" && !strings.HasPrefix(code, "5.0."): // address, mailbox, content
		return strings.HasPrefix(code, "5.1.") || strings.HasPrefix(code, "5.2.") || strings.HasPrefix(code, "5.6.")
	default: // the mailbox or its host; 554 may be anything
		return slices.Contains([]int{550, 551, 553, 556}, refused.Code)
	}
}

// status returns the codes of a reply, without its text.
func status(refused *textproto.Error) string {
	if code := enhanced.FindStringSubmatch(refused.Msg); code != nil {
		return fmt.Sprintf("%d %s", refused.Code, code[1])
	}
	return fmt.Sprint(refused.Code)
}
