package notificationssim

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// session is an SMTP session, with one envelope at a time.
type session struct {
	sink     *Sink
	loggedIn bool
	from     string
	to       []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.sink.o.Username != "" && !s.loggedIn {
		return answer("530 5.7.0 Authentication required")
	}
	s.from = from
	return s.sink.refusal("MAIL")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return s.sink.refusal("RCPT")
}

func (s *session) Data(r io.Reader) error {
	if err := s.sink.refusal("DATA"); err != nil {
		return err
	}
	return s.sink.accept(s.from, s.to, r)
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

// AuthMechanisms returns the mechanism of the options, offered on encrypted connections only.
func (s *session) AuthMechanisms() []string {
	if s.sink.o.Username == "" {
		return nil
	}
	return []string{s.sink.o.Mechanism}
}

// Auth accepts only the login of the options.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(_, username, password string) error {
		if username != s.sink.o.Username || password != s.sink.o.Password {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}
	switch {
	case mechanism != s.sink.o.Mechanism:
		return nil, smtp.ErrAuthUnknownMechanism
	case mechanism == sasl.Login:
		return &loginServer{check: check}, nil
	default:
		return sasl.NewPlainServer(check), nil
	}
}

// loginServer requests the name, then the password.
type loginServer struct {
	check func(identity, username, password string) error
	got   []string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil {
		l.got = append(l.got, string(response))
	}
	if len(l.got) < 2 {
		return []byte([]string{"Username:", "Password:"}[len(l.got)]), false, nil
	}
	return nil, true, l.check("", l.got[0], l.got[1])
}

// Refuse answers every EHLO, MAIL, RCPT or DATA with this line, as "550 5.1.1 unknown"; "" ends it.
func (s *Sink) Refuse(command, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused, s.answer = command, answer
}

func (s *Sink) refusal(command string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused != command || s.answer == "" {
		return nil
	}
	return answer(s.answer)
}

// answer parses an SMTP reply, with or without an enhanced status code.
func answer(line string) error {
	code, text, _ := strings.Cut(line, " ")
	number, err := strconv.Atoi(code)
	if err != nil {
		return fmt.Errorf("%q is not an SMTP reply: %w", line, err)
	}
	e := &smtp.SMTPError{Code: number, EnhancedCode: smtp.NoEnhancedCode, Message: text}
	if n, _ := fmt.Sscanf(text, "%d.%d.%d", &e.EnhancedCode[0], &e.EnhancedCode[1], &e.EnhancedCode[2]); n == 3 {
		_, e.Message, _ = strings.Cut(text, " ")
	} else {
		e.EnhancedCode = smtp.NoEnhancedCode
	}
	return e
}
