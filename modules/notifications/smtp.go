package notifications

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// smtpMailer is the anti-corruption layer to a mail server. Its errors never quote the server's
// text.
type smtpMailer struct {
	cfg  Config
	idle chan *connection
}

func newSMTPMailer(cfg Config) *smtpMailer {
	return &smtpMailer{cfg, make(chan *connection, cfg.Concurrency)}
}

// The values of NOTIFICATIONS_SMTP_TLS.
const (
	tlsOpportunistic = "opportunistic" // STARTTLS if it is offered
	tlsRequired      = "required"      // STARTTLS, or no mail
	tlsImplicit      = "implicit"      // from the first byte, as on port 465
	tlsNone          = "none"
)

var errNoAddr = errors.New("not host:port with a port number")

// hostOf returns the host of host:port, whose port is a number.
func hostOf(addr string) (host string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || number == 0 || host == "" {
		return "", errNoAddr
	}
	return host, nil
}

// Send sends one mail, within NOTIFICATIONS_SEND_TIMEOUT.
func (s *smtpMailer) Send(ctx context.Context, m mail) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.SendTimeout)
	defer cancel()
	msg := gomail.NewMsg()
	if err := msg.From(string(s.cfg.From)); err != nil {
		return errors.New("NOTIFICATIONS_FROM is malformed")
	}
	if err := msg.To(m.To); err != nil {
		return fmt.Errorf("an address is malformed, %w", errPermanent)
	}
	msg.SetMessageIDWithValue(m.MessageID)
	msg.SetDate()
	msg.Subject(m.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // asks for no out-of-office answers, RFC 3834
	msg.SetBodyString(gomail.TypeTextPlain, m.Body)

	if step, err := s.converse(ctx, msg); err != nil {
		return s.describe(step, err)
	}
	return nil
}

// step is a step of an SMTP session. A refusal before RCPT TO concerns every mail.
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

// connection carries one mail after the other. It is closed after idleFor without one.
//
//	connect ──▶ MAIL, RCPT, DATA ──taken, or this mail is refused──▶ idle ──▶ QUIT
//	                │        ▲                                        │
//	                │        └────────────────── RSET ◀───────────────┘
//	                └──anything else──▶ closed
type connection struct {
	*smtp.Client
	expiry *time.Timer
}

const (
	idleFor     = 5 * time.Second
	answerLimit = 2 * time.Second // for RSET and QUIT
)

// converse sends the mail, and returns the step that failed. If an idle connection fails before
// RCPT TO, the server has closed it or takes no more mails on it: then a new connection is tried.
func (s *smtpMailer) converse(ctx context.Context, msg *gomail.Msg) (step, error) {
	if c := s.takeIdle(); c != nil {
		if at, err := s.handOver(ctx, c, msg); at != atSender {
			return at, err
		}
	}
	c, at, err := s.connect(ctx)
	if err != nil {
		return at, err
	}
	return s.handOver(ctx, &connection{Client: c}, msg)
}

// takeIdle returns an idle connection that still answers, or nil.
func (s *smtpMailer) takeIdle() *connection {
	for {
		select {
		case c := <-s.idle:
			if !c.expiry.Stop() {
				continue
			}
			_ = c.UpdateDeadline(answerLimit)
			if c.Reset() == nil {
				return c
			}
			_ = c.Close()
		default:
			return nil
		}
	}
}

// handOver sends the mail on the connection, and keeps that if it can carry another one. The mail
// is sent once the server has accepted its end.
func (s *smtpMailer) handOver(ctx context.Context, c *connection, msg *gomail.Msg) (at step, err error) {
	defer func() {
		refused, answered := errors.AsType[*textproto.Error](err)
		if err == nil || answered && refused.Code != 421 && at != atSender { // 421: the server closes it
			c.expiry = time.AfterFunc(idleFor, c.quit)
			s.idle <- c // never blocks: there is room for as many as mails are sent at a time
		} else {
			_ = c.Close()
		}
	}()
	deadline, _ := ctx.Deadline()
	_ = c.UpdateDeadline(time.Until(deadline))
	sender, _ := msg.GetSender(false) // Send has set both
	to, _ := msg.GetRecipients()
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
	if _, err := msg.WriteTo(text); err != nil { // without an end, which would send half of it
		return atData, err
	}
	return atEnd, text.Close()
}

// Close ends the idle connections.
func (s *smtpMailer) Close() {
	for len(s.idle) > 0 {
		if c := <-s.idle; c.expiry.Stop() {
			c.quit()
		}
	}
}

func (c *connection) quit() {
	_ = c.UpdateDeadline(answerLimit)
	_, _ = c.Text.Cmd("QUIT") // whatever the reply
	_ = c.Close()
}

// connect returns a client that may begin a mail.
func (s *smtpMailer) connect(ctx context.Context) (_ *smtp.Client, _ step, err error) {
	host, _ := hostOf(s.cfg.SMTPAddr) // Validate has checked it
	name, err := os.Hostname()
	if err != nil {
		return nil, atConnect, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.cfg.SMTPAddr)
	if err != nil {
		return nil, atConnect, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)

	secure := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.cfg.SMTPTLS == tlsImplicit {
		encrypted := tls.Client(conn, secure)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return nil, atTLS, err
		}
		conn = encrypted
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, atGreeting, err
	}
	if err := c.Hello(name); err != nil {
		return nil, atHello, err
	}
	offered, _ := c.Extension("STARTTLS")
	switch {
	case s.cfg.SMTPTLS == tlsRequired && !offered:
		return nil, atTLS, errNoSTARTTLS
	case s.cfg.SMTPTLS == tlsRequired, s.cfg.SMTPTLS == tlsOpportunistic && offered:
		if err := c.StartTLS(secure); err != nil {
			return nil, atTLS, err
		}
	}
	if s.cfg.SMTPUsername != "" {
		if err := c.Auth(s.login(c, host)); err != nil {
			return nil, atLogin, err
		}
	}
	return c, "", nil
}

// login is PLAIN, or LOGIN if the server offers no PLAIN. By Validate, the connection is encrypted.
func (s *smtpMailer) login(c *smtp.Client, host string) smtp.Auth {
	_, offered := c.Extension("AUTH")
	mechanisms := " " + offered + " "
	if strings.Contains(mechanisms, " LOGIN ") && !strings.Contains(mechanisms, " PLAIN ") {
		return smtp.LoginAuth(s.cfg.SMTPUsername, s.cfg.SMTPPassword, host, false)
	}
	return smtp.PlainAuth("", s.cfg.SMTPUsername, s.cfg.SMTPPassword, host, false)
}
