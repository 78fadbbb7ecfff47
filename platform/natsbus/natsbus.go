// Package natsbus carries events between processes over NATS JetStream. It is a watermill Publisher
// and Subscriber, like the bus in memory.
//
// It promises at-least-once delivery: Publish returns when the broker has the messages on disk, and
// the broker delivers each to every subscribed module until one process of that module acknowledges
// it. It promises no order. Provision makes the stream and the durables, before the processes start
// and again on a broker that lost its store, which events.Replay then refills.
//
//	relay ──▶ stream "events" ──┬──▶ durable lamps-parcels-sent-v1   one per module
//	          events.<topic>    └──▶ durable tolls-parcels-sent-v1   and topic
package natsbus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"example.com/shop/platform/process"
)

// Config says where the broker is, and how a process publishes and subscribes.
type Config struct {
	// Where the brokers are, separated by commas: tls://host:4222, or nats://host:4222, which only
	// uses TLS if the broker demands it. A URL may hold user and password.
	URL string `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222"`
	// A file with the process's credentials, for a broker that asks for one; a seed goes before it.
	Credentials string `env:"NATS_CREDENTIALS"`
	// The name of the stream and the first word of its subjects, for several systems on one broker.
	Stream string `env:"NATS_STREAM" envDefault:"events"`
	// After how long the broker redelivers a message that was nacked, as while a database is down.
	NakDelay time.Duration `env:"NATS_NAK_DELAY" envDefault:"1s"`
	// How long the relay waits for the broker.
	PublishTimeout time.Duration `env:"NATS_PUBLISH_TIMEOUT" envDefault:"5s"`

	Certificate process.Certificate
}

// publishLimit bounds PublishTimeout, because a relay that stops waits for it.
const publishLimit = 30 * time.Second

// streamName matches what JetStream accepts as a name, and in a subject as a word.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Validate refuses what the broker would refuse, and a wait that is longer than a stop may be.
func (c Config) Validate() error {
	switch {
	case !streamName.MatchString(c.Stream):
		return errors.New("NATS_STREAM must be made of letters, digits, - and _")
	case c.PublishTimeout >= publishLimit:
		return fmt.Errorf("NATS_PUBLISH_TIMEOUT must be shorter than %s", publishLimit)
	}
	return nil
}

// Bus is a module's connection to the broker.
type Bus struct {
	cfg     Config
	module  string
	keyed   bool // it has a key
	log     *slog.Logger
	conn    *nats.Conn
	js      jetstream.JetStream
	reached atomic.Bool // the broker, at least once

	open      context.Context //nolint:containedctx // it ends when the bus closes
	end       context.CancelFunc
	listening sync.WaitGroup

	mu      sync.Mutex
	missing map[string]error // the durables that the broker does not have
}

var (
	errClosed      = errors.New("the bus is closed")
	errUnreachable = errors.New("the broker cannot be reached")
)

// Name is the bus's name.
const Name = "nats"

// Name returns Name.
func (*Bus) Name() string { return Name }

// Open connects a module by the key whose seed it has, and reconnects forever when the connection
// is lost. A broker that is down is no error, or its restart would keep processes from starting:
// events wait in the outbox.
func Open(cfg Config, module, seed string, log *slog.Logger) (*Bus, error) {
	b := &Bus{
		cfg: cfg, module: module, keyed: seed != "", missing: map[string]error{},
		log: log.With("bus", "nats", "stream", cfg.Stream, "user", module),
	}
	b.open, b.end = context.WithCancel(context.Background())
	options := []nats.Option{
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomInboxPrefix(inbox(module)),
		nats.IgnoreAuthErrorAbort(), // a password may change on the broker first
		nats.ReconnectWait(250 * time.Millisecond),
		// A network that is cut is noticed by the third ping, while two are unanswered.
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		// What cannot be sent is an error. It waits in the outbox, not in a buffer of the process.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil after Close
				b.log.Warn("lost the connection to the broker", "error", err)
			}
		}),
		nats.ConnectHandler(func(*nats.Conn) { b.reached.Store(true) }),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			b.log.Info("connected to the broker", "url", conn.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("broker", "error", err)
		}),
		secured(cfg.Certificate),
	}
	if seed != "" {
		key, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return nil, process.Usage(fmt.Errorf("%s is not the seed of a key, as seam broker users makes one", b.setting()))
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Nkey(public, key.Sign))
	} else if cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(cfg.Credentials))
	}
	var err error
	if b.conn, err = nats.Connect(cfg.URL, options...); err != nil {
		if _, ok := errors.AsType[*url.Error](err); ok { // which may quote the password
			err = errors.New("not like nats://user:password@host:4222, with special characters percent-encoded")
		}
		return nil, process.Usage(fmt.Errorf("NATS_URL: %w", err))
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return b, nil
}

// secured has a connection with TLS show the certificate, and trust the authorities, that there are
// when it connects. Unlike the library's own options, it leaves it to the URL whether there is TLS.
func secured(by process.Certificate) nats.Option {
	current := by.Client()
	return func(o *nats.Options) error {
		o.TLSCertCB = func() (shown tls.Certificate, err error) {
			if has := current().Certificates; len(has) > 0 {
				shown = has[0]
			}
			return shown, nil // none, if it is empty
		}
		o.RootCAsCB = func() (*x509.CertPool, error) { return current().RootCAs, nil }
		return nil
	}
}

// setting is the name of the setting with the module's seed.
func (b *Bus) setting() string { return strings.ToUpper(b.module) + "_NATS_SEED" }

// Unsafe refuses a connection that says nothing about who it is, in production: a broker that takes
// it takes everybody's, and with it forged events. And one to another host on which they can be
// read.
func (b *Bus) Unsafe() (found []string) {
	keyless, plain := false, false
	for address := range strings.SplitSeq(b.cfg.URL, ",") {
		if !strings.Contains(address, "://") {
			address = "nats://" + address
		}
		u, err := url.Parse(strings.TrimSpace(address))
		keyless = keyless || !b.keyed && b.cfg.Credentials == "" && (err != nil || u.User == nil)
		plain = plain || err != nil || u.Scheme != "tls" && u.Scheme != "wss" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback()
	}
	if keyless {
		found = append(found, b.setting()+" is not set: give the module a key of its own on the broker, as seam broker users makes it")
	}
	if plain {
		found = append(found, "NATS_URL may reach another host without TLS: begin each of its URLs with tls://")
	}
	return found
}

// Ready returns nil once the broker has been reached and has each durable that is subscribed to.
// Losing them later does not make the process unready, or a broker's restart would stop all
// service: meanwhile events wait in the outbox. Of a durable that was lost it returns a
// process.Note.
func (b *Bus) Ready(context.Context) error {
	if !b.reached.Load() {
		return errUnreachable
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.room(); err != nil {
		return err
	}
	var note error
	for _, err := range b.missing {
		if _, lost := errors.AsType[process.Note](err); !lost {
			return err
		}
		note = err
	}
	return note
}

// minPayload is the least max_payload of a broker: an event's 512 KiB, longer as JSON, and headers.
const minPayload = 1 << 20

// room refuses a broker that accepts only smaller messages than events may be. The first event that
// is too large would otherwise be refused forever, long after the start, and hold up its topic.
func (b *Bus) room() error {
	if most := b.conn.MaxPayload(); most < minPayload {
		return fmt.Errorf("the broker accepts at most %d bytes: set its max_payload to %d or more", most, minPayload)
	}
	return nil
}

// Check returns nil if the broker can be reached now.
func (b *Bus) Check(context.Context) error {
	switch {
	case b.conn.IsClosed():
		return errClosed
	case b.conn.IsConnected():
		return b.room()
	}
	if err := b.conn.LastError(); err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return errUnreachable
}

// Close ends the subscriptions and nacks what is unacknowledged, for another process to have it. It
// flushes what is still to be sent, such as acknowledgements, and disconnects.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.end()
	b.mu.Unlock()
	b.listening.Wait()
	if b.conn.IsConnected() {
		_ = b.conn.FlushTimeout(b.cfg.PublishTimeout) // a lost acknowledgement is one redelivery
	}
	b.conn.Close()
	return nil
}
