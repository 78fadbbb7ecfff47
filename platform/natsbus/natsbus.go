// Package natsbus carries events between processes over NATS JetStream. It is a watermill Publisher and Subscriber, so modules,
// outbox and consumer do not know whether they use it or the bus in memory.
//
// It promises at least once: Publish returns when the broker has the messages on disk, and the broker gives each to every module
// that listens until one process of that module has acknowledged it. It promises no order, and it needs nobody's memory but the
// outbox's: a broker that lost its store is provisioned again by the first listener, and events.Replay fills it.
//
//	relay ──▶ stream "events" ──┬──▶ durable inventory-orders-placed-v1      one per module and topic,
//	          events.<topic>    └──▶ durable notifications-orders-placed-v1  shared by the module's processes
package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/process"
)

// Config says where the broker is and how it delivers. AckWait and MaxAckPending belong to a module's listeners, so its processes share
// them: who subscribes last sets them.
type Config struct {
	// Where the brokers are, separated by commas. A URL may hold user and password.
	URL string `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222"`
	// A file with the process's credentials, for a broker that asks for one.
	Credentials string `env:"NATS_CREDENTIALS"`
	// The name of the stream and the first word of its subjects, so that several shops can share a broker.
	Stream string `env:"NATS_STREAM" envDefault:"events"`
	// How many brokers of a cluster keep each message.
	Replicas int `env:"NATS_REPLICAS" envDefault:"1"`
	// How long the stream keeps a message, handled or not. As long as the outbox does: a module that is away for longer than this
	// misses events, and a replay could not tell it all of them either.
	MaxAge time.Duration `env:"NATS_MAX_AGE" envDefault:"168h"`
	// How long the messages that a killed process held wait for another one, and those whose acknowledgement was lost with a broker.
	// A living process extends it while it works.
	AckWait time.Duration `env:"NATS_ACK_WAIT" envDefault:"10s"`
	// How many messages of a topic a module's processes hold at once, all together; some batches' worth.
	MaxAckPending int `env:"NATS_MAX_ACK_PENDING" envDefault:"256"`
	// How long a message rests that a consumer gave back, which it does when its database is away.
	NakDelay time.Duration `env:"NATS_NAK_DELAY" envDefault:"1s"`
	// How long the relay waits for the broker. It holds a transaction meanwhile, which ends after 30 s.
	PublishTimeout time.Duration `env:"NATS_PUBLISH_TIMEOUT" envDefault:"5s"`
}

// Limits of a configuration. Below the first, a broker would take its messages back while they are on their way; and the relay's
// transaction, in which it publishes, ends after the second.
const (
	minAckWait = 100 * time.Millisecond
	relayLimit = 30 * time.Second
)

// streamName is what JetStream takes for a name, and a subject for one of its words.
var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Validate refuses what the broker would refuse again and again, and what would make a loop spin or stand still.
func (c Config) Validate() error {
	var errs []error
	for _, setting := range []struct {
		valid bool
		must  string
	}{
		{streamName.MatchString(c.Stream), "NATS_STREAM must be made of letters, digits, - and _"},
		{c.Replicas >= 1 && c.Replicas <= 5, "NATS_REPLICAS must be from 1 to 5"},
		{c.MaxAge > 0, "NATS_MAX_AGE must be longer than nothing"},
		{c.AckWait >= minAckWait, "NATS_ACK_WAIT must be at least " + minAckWait.String()},
		{c.MaxAckPending >= 1, "NATS_MAX_ACK_PENDING must be at least 1"},
		{c.NakDelay > 0, "NATS_NAK_DELAY must be longer than nothing"},
		{c.PublishTimeout > 0 && c.PublishTimeout < relayLimit,
			"NATS_PUBLISH_TIMEOUT must be longer than nothing and shorter than " + relayLimit.String()},
	} {
		if !setting.valid {
			errs = append(errs, errors.New(setting.must))
		}
	}
	return errors.Join(errs...)
}

// Bus is one process's connection to the broker.
type Bus struct {
	cfg     Config
	log     *slog.Logger
	conn    *nats.Conn
	js      jetstream.JetStream
	reached atomic.Bool // the broker, at least once
}

var (
	errClosed      = errors.New("the bus is closed")
	errUnreachable = errors.New("the broker cannot be reached")
)

// Open connects, and connects again for ever whenever the connection is lost. A broker that is away now is no error, or a broker's
// restart would keep the whole shop from starting: events wait in the outbox, and Ready tells.
func Open(cfg Config, log *slog.Logger) (*Bus, error) {
	b := &Bus{cfg: cfg, log: log.With("bus", "nats", "stream", cfg.Stream)}
	options := []nats.Option{
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // or a password that is changed on the broker first would end it for good
		nats.ReconnectWait(250 * time.Millisecond),
		// A network that is cut tells nobody: it is noticed by the third ping that would go out while two are unanswered.
		nats.PingInterval(2 * time.Second),
		nats.MaxPingsOutstanding(2),
		// What cannot be sent now is an error now. The outbox is the place to wait, and not a buffer that dies with the process.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil is our own Close
				b.log.Warn("lost the broker", "error", err)
			}
		}),
		nats.ConnectHandler(func(*nats.Conn) { b.reached.Store(true) }),
		nats.ReconnectHandler(func(conn *nats.Conn) {
			b.log.Info("connected to the broker", "url", conn.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			b.log.Warn("broker", "error", err)
		}),
	}
	if cfg.Credentials != "" {
		options = append(options, nats.UserCredentials(cfg.Credentials))
	}
	var err error
	if b.conn, err = nats.Connect(cfg.URL, options...); err != nil {
		if _, ok := errors.AsType[*url.Error](err); ok { // which quotes the URL, or the half of its password
			err = errors.New("not like nats://user:password@host:4222, with the special characters of a password percent-encoded")
		}
		return nil, process.Usage(fmt.Errorf("NATS_URL: %w", err))
	}
	if b.js, err = jetstream.New(b.conn); err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return b, nil
}

// Ready says whether the broker has been reached yet, for the process's readiness. One that is lost later makes no process unready, or
// a restart of it would close the whole shop: orders are taken meanwhile, and their events wait in the outbox.
func (b *Bus) Ready(context.Context) error {
	if b.reached.Load() {
		return b.room()
	}
	return errUnreachable
}

// minPayload is what the broker has to take at least: an event's 512 KiB, written as JSON, with its
// headers.
const minPayload = 1 << 20

// room refuses a broker that takes smaller messages than events may be. The first that is too large
// would otherwise be refused for ever, long after the start, and hold up its topic.
func (b *Bus) room() error {
	if most := b.conn.MaxPayload(); most < minPayload {
		return fmt.Errorf("the broker takes messages of at most %d bytes: set its max_payload to %d or more", most, minPayload)
	}
	return nil
}

// Check says whether the broker can be reached now.
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

// Close sends what is still to be sent, above all acknowledgements, and disconnects. Close the subscribers first: only they can give
// back what they hold.
func (b *Bus) Close() error {
	if b.conn.IsConnected() {
		_ = b.conn.FlushTimeout(b.cfg.PublishTimeout) // a lost acknowledgement is one repetition
	}
	b.conn.Close()
	return nil
}
