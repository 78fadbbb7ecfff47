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

// SMTP is the anti-corruption layer to a mail server: our mail goes in, and out come errors in our words. The server's own
// words stay here, because they may quote the address.
type SMTP struct {
	host    string
	port    int
	from    string
	timeout time.Duration
}

// NewSMTP returns the mailer for the configured server. It connects to nothing yet.
func NewSMTP(cfg Config) (*SMTP, error) {
	host, service, err := net.SplitHostPort(cfg.SMTPAddr)
	if err != nil {
		return nil, fmt.Errorf("read smtp address: %w", err)
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, fmt.Errorf("read smtp port: %w", err)
	}
	// go-mail starts its timeout anew for connecting, for greeting and for the mail, so each gets a third.
	return &SMTP{host: host, port: port, from: string(cfg.From), timeout: cfg.SendTimeout / 3}, nil
}

// send speaks one SMTP conversation, encrypted if the server offers it.
func (s *SMTP) send(ctx context.Context, m mail) error {
	msg := gomail.NewMsg()
	if err := errors.Join(msg.From(s.from), msg.To(m.to)); err != nil {
		return errors.New("an address is malformed")
	}
	msg.SetMessageIDWithValue(m.messageID)
	msg.SetDate()
	msg.Subject(m.subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no out-of-office answers, RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, m.body)

	// One mail per connection needs neither NOOP before it nor RSET after it.
	client, err := gomail.NewClient(s.host, gomail.WithPort(s.port), gomail.WithTLSPolicy(gomail.TLSOpportunistic),
		gomail.WithTimeout(s.timeout), gomail.WithoutNoop(), gomail.WithoutRset())
	if err != nil {
		return errors.New("the mail server's address is unusable")
	}
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // what failed after it was the goodbye
	}
	return describe(err)
}

// describe says in our words why a mail was not taken, without the parts that may quote an address.
func describe(err error) error {
	var refused *gomail.SendError
	var network *net.OpError
	switch {
	case err == nil:
		return errors.New("the mail server did not take the mail")
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
