package notifications

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"
)

// smtpMailer is the anti-corruption layer to a mail server: our mail goes in, and out come errors in our words. The server's own
// words stay here, because they may quote the address.
type smtpMailer struct {
	addr    string
	from    string
	timeout time.Duration
}

func newSMTPMailer(cfg Config) *smtpMailer {
	// go-mail starts its timeout anew for connecting, for greeting and for the mail, so each gets a third.
	return &smtpMailer{addr: cfg.SMTPAddr, from: string(cfg.From), timeout: cfg.SendTimeout / 3}
}

// splitAddr takes host:port apart.
func splitAddr(addr string) (host string, port uint16, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	number, err := strconv.ParseUint(service, 10, 16)
	return host, uint16(number), err
}

// Send speaks one SMTP conversation, encrypted if the server offers it.
func (s *smtpMailer) Send(ctx context.Context, m mail) error {
	msg := gomail.NewMsg()
	if err := errors.Join(msg.From(s.from), msg.To(m.to)); err != nil {
		return fmt.Errorf("an address is malformed, %w", errPermanent)
	}
	msg.SetMessageIDWithValue(m.messageID)
	msg.SetDate()
	msg.Subject(m.subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no out-of-office answers, RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, m.body)

	host, port, err := splitAddr(s.addr)
	if err != nil {
		return errUnusable
	}
	// One mail per connection needs neither NOOP before it nor RSET after it.
	client, err := gomail.NewClient(host, gomail.WithPort(int(port)), gomail.WithTLSPolicy(gomail.TLSOpportunistic),
		gomail.WithTimeout(s.timeout), gomail.WithoutNoop(), gomail.WithoutRset())
	if err != nil {
		return errUnusable
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // what failed after it was the goodbye
	}
	return describe(err)
}

var errUnusable = errors.New("the mail server's address is unusable")

// describe says in our words why a mail was not taken, without the parts that may quote an address. A refusal with 5xx, unlike
// one with 4xx, is the server's last word on this mail (RFC 5321, 4.2.1). Being turned away at the door is not: it is said to us,
// of every mail, and somebody will mend it.
func describe(err error) error {
	var refused *gomail.SendError
	var network *net.OpError
	switch {
	case err == nil:
		return errors.New("the mail server did not take the mail")
	case errors.As(err, &refused) && refused.ErrorCode() >= 500:
		return fmt.Errorf("the mail server refused the mail with %d at %s, %w", refused.ErrorCode(), refused.Reason, errPermanent)
	case errors.As(err, &refused) && refused.ErrorCode() != 0:
		return fmt.Errorf("the mail server refused the mail with %d at %s", refused.ErrorCode(), refused.Reason)
	case errors.As(err, &refused):
		return fmt.Errorf("the mail was cut off at %s", refused.Reason)
	case errors.As(err, &network):
		return fmt.Errorf("the mail server cannot be reached: %w", network)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("the mail server did not answer in time")
	default:
		return errors.New("the mail server did not greet as one")
	}
}
