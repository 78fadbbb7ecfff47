// Package notificationssim simulates the mail server, for development and tests: it delivers
// nothing. It keeps a message for each mailbox, so that a test can check who got which mail, and
// how often.
package notificationssim

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// keep limits the memory: older messages are dropped.
const keep = 100_000

// Options of a sink; the zero value works.
type Options struct {
	Addr string // of the SMTP listener; a free port on loopback if empty

	TLS      *tls.Config // to offer STARTTLS with
	Implicit bool        // TLS from the first byte instead

	Username, Password string // required to send mail, if set
	Mechanism          string // PLAIN or LOGIN
}

// Message is one message as one mailbox got it.
type Message struct {
	To         string    `json:"to"` // of the envelope, so blind copies count
	From       string    `json:"from"`
	Subject    string    `json:"subject"`
	MessageID  string    `json:"message_id"`
	Body       string    `json:"body"` // the text part, decoded
	ReceivedAt time.Time `json:"received_at"`
}

// Sink accepts mail by SMTP and shows it by HTTP: GET /messages, GET /messages?to=ada@mail.example.
type Sink struct {
	smtp *smtp.Server
	addr string
	o    Options
	done chan error
	in   net.Listener

	mu       sync.Mutex
	messages []Message
	refused  string // a command
	answer   string // to it
}

// Start starts a sink.
func Start(o Options) (*Sink, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen for mail: %w", err)
	}
	s := &Sink{addr: l.Addr().String(), o: o, done: make(chan error, 1), in: l}
	connect := func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, s.refusal("EHLO") }
	s.smtp = smtp.NewServer(smtp.BackendFunc(connect))
	s.smtp.Domain = "localhost"
	s.smtp.MaxMessageBytes = 1 << 20
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.TLSConfig = o.TLS
	s.smtp.ErrorLog = log.New(io.Discard, "", 0) // handshake errors of clients that do not trust its certificate
	if o.Implicit {
		l = tls.NewListener(l, o.TLS)
	}
	go func() { s.done <- s.smtp.Serve(l) }()
	return s, nil
}

// Addr returns the SMTP listener's host and port.
func (s *Sink) Addr() string { return s.addr }

// Close stops listening and closes all connections.
func (s *Sink) Close() error {
	if err := s.smtp.Close(); err != nil {
		return err
	}
	s.in.Close() // the server closes only a listener that it serves already
	return <-s.done
}

// Messages returns the messages of one mailbox, or all, oldest first.
func (s *Sink) Messages(to string) []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := []Message{} // an empty list in JSON, never null
	for _, m := range s.messages {
		if to == "" || m.To == to {
			found = append(found, m)
		}
	}
	return found
}

// ServeHTTP answers GET /messages. A message is there before its SMTP client has the 250.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/messages" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"items": s.Messages(r.URL.Query().Get("to"))})
}

func (s *Sink) accept(from string, to []string, data io.Reader) error {
	m, err := parse(data)
	if err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	m.From, m.ReceivedAt = from, time.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m.To = range to {
		s.messages = append(s.messages, m)
	}
	if excess := len(s.messages) - keep; excess > 0 {
		s.messages = append([]Message(nil), s.messages[excess:]...)
	}
	return nil
}
