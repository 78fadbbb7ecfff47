package notifications

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// smtpMailer is the anti-corruption layer to a mail server: our mail goes in, and out come errors
// in our words. The server's own words stay here, because they may quote the address.
type smtpMailer struct{ cfg Config }

// What NOTIFICATIONS_SMTP_TLS may say.
const (
	tlsOpportunistic = "opportunistic" // STARTTLS if it is offered
	tlsRequired      = "required"      // STARTTLS, or no mail
	tlsImplicit      = "implicit"      // from the first byte, as on port 465
	tlsNone          = "none"
)

var errNoAddr = errors.New("not host:port with a port number")

// hostOf is the host of host:port, with a port number.
func hostOf(addr string) (host string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || number == 0 || host == "" {
		return "", errNoAddr
	}
	return host, nil
}

// Send speaks one SMTP conversation, until the deadline of ctx at most.
func (s *smtpMailer) Send(ctx context.Context, m mail) error {
	msg := gomail.NewMsg()
	if err := msg.From(string(s.cfg.From)); err != nil {
		return errors.New("NOTIFICATIONS_FROM is malformed")
	}
	if err := msg.To(m.to); err != nil {
		return fmt.Errorf("an address is malformed, %w", errPermanent)
	}
	msg.SetMessageIDWithValue(m.messageID)
	msg.SetDate()
	msg.Subject(m.subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no out-of-office answers, RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, m.body)

	if step, err := s.converse(ctx, msg); err != nil {
		return s.describe(step, err)
	}
	return nil
}

// step is a part of the conversation. What is refused before the recipient is named is said to us,
// of every mail.
type step string

const (
	atConnect  step = "the connection"
	atGreeting step = "the greeting"
	atHello    step = "EHLO"
	atTLS      step = "TLS"
	atLogin    step = "AUTH"
	atSender   step = "MAIL FROM"
	atRcpt     step = "RCPT TO"
	atData     step = "DATA"
	atEnd      step = "the end of the mail"
)

var errNoSTARTTLS = errors.New("it offers no STARTTLS")

// converse returns the step that failed. The mail is out when the server has answered to its end;
// what fails then is the goodbye.
func (s *smtpMailer) converse(ctx context.Context, msg *gomail.Msg) (step, error) {
	sender, senderErr := msg.GetSender(false)
	to, toErr := msg.GetRecipients()
	host, addrErr := hostOf(s.cfg.SMTPAddr)
	name, nameErr := os.Hostname()
	if err := errors.Join(senderErr, toErr, addrErr, nameErr); err != nil {
		return atConnect, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.cfg.SMTPAddr)
	if err != nil {
		return atConnect, err
	}
	defer conn.Close()
	if deadline, limited := ctx.Deadline(); limited {
		if err := conn.SetDeadline(deadline); err != nil {
			return atConnect, err
		}
	}

	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.cfg.SMTPTLS == tlsImplicit {
		encrypted := tls.Client(conn, secure)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return atTLS, err
		}
		conn = encrypted
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return atGreeting, err
	}
	if err := c.Hello(name); err != nil {
		return atHello, err
	}
	offered, _ := c.Extension("STARTTLS")
	switch {
	case s.cfg.SMTPTLS == tlsRequired && !offered:
		return atTLS, errNoSTARTTLS
	case s.cfg.SMTPTLS == tlsRequired, s.cfg.SMTPTLS == tlsOpportunistic && offered:
		if err := c.StartTLS(secure); err != nil {
			return atTLS, err
		}
	}
	if s.cfg.SMTPUsername != "" {
		if err := c.Auth(s.login(c, host)); err != nil {
			return atLogin, err
		}
	}

	if err := c.Mail(sender); err != nil {
		return atSender, err
	}
	if err := c.Rcpt(to[0]); err != nil {
		return atRcpt, err
	}
	text, err := c.Data()
	if err != nil {
		return atData, err
	}
	if _, err := msg.WriteTo(text); err != nil { // and no end, which would send the half of it
		return atData, err
	}
	if err := text.Close(); err != nil {
		return atEnd, err
	}
	_ = c.Quit()
	return "", nil
}

// login is PLAIN, or LOGIN if the server has nothing better. Validate has seen to it that the
// connection is encrypted.
func (s *smtpMailer) login(c *smtp.Client, host string) smtp.Auth {
	_, offered := c.Extension("AUTH")
	mechanisms := " " + offered + " "
	if strings.Contains(mechanisms, " LOGIN ") && !strings.Contains(mechanisms, " PLAIN ") {
		return smtp.LoginAuth(s.cfg.SMTPUsername, s.cfg.SMTPPassword, host, false)
	}
	return smtp.PlainAuth("", s.cfg.SMTPUsername, s.cfg.SMTPPassword, host, false)
}
