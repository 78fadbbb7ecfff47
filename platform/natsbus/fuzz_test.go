package natsbus_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
)

// FuzzEnvelope publishes a message twice, as a replay does. It is handled once, or kept once as a
// dead letter with its reason, or dropped and logged; and a later message is handled.
func FuzzEnvelope(f *testing.F) {
	const thing = `{"thing":"a"}`
	for _, seed := range []struct{ id, headers, payload string }{
		{"<id>", "", thing},
		{"<id>", "type: another\nid: x\nactor: customer:ann\n" +
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", thing},
		{"", "", thing},
		{"<id>/", "", thing},
		{"no-id", "", ""},
		{"<id>", "", "{"},
		{"<id>", "Replays: 9", "null"},
		{"<id>", "", `{"thing":"poison"}`},
		{"<id>", "a: \xff\nb: ü", `{"thing":1}`},
		{"<id>", "a: b\r", `{"thing":"a\u0000b"}`},
		{"<id>", "actor: " + strings.Repeat("a", 8000), `{"thing":"poison"}`},
		{"<id>", "", "[" + strings.Repeat("[", 20000)},
		{"00000000-0000-0000-0000-000000000000", "", `{"THING":"a","thing":"b"}`},
	} {
		f.Add(seed.id, seed.headers, []byte(seed.payload))
	}
	e := newEnvelopes(f)
	f.Fuzz(func(t *testing.T, id, headers string, payload []byte) {
		fresh := strings.NewReplacer("<id>", uuid.NewString(), "<ID>", strings.ToUpper(uuid.NewString()))
		id, headers = fresh.Replace(id), fresh.Replace(headers)
		e.settled(t) // a run that ended early leaves a message
		e.log.dropped()
		e.forget(t)
		for _, replay := range []string{"0", "1"} {
			m := nats.NewMsg(e.cfg.Stream + "." + topic)
			m.Data = payload
			for line := range strings.SplitSeq(headers, "\n") {
				// The broker's own headers are no attributes.
				name, value, ok := strings.Cut(line, ": ")
				if ok && !strings.HasPrefix(strings.ToLower(name), "nats-") {
					m.Header.Set(name, value)
				}
			}
			m.Header.Set(jetstream.MsgIDHeader, topic+"/"+replay+"/"+id)
			ack, err := e.js.PublishMsg(t.Context(), m)
			if err != nil || ack.Duplicate {
				return // the broker refuses it, or has it from an earlier run
			}
			e.last = ack.Sequence
		}
		e.settled(t)
		var handled, dead int
		err := e.pool.QueryRow(t.Context(), `SELECT (SELECT coalesce(sum(times), 0) FROM effects),
			(SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND reason <> '')`).Scan(&handled, &dead)
		if err != nil {
			t.Fatal(err)
		}
		dropped := e.log.dropped()
		if once := handled+dead == 1 && dropped == 0; !once && (handled+dead != 0 || dropped != 2) {
			t.Errorf("id %q with %q and %q, published twice: %d handled, %d dead letters, %d dropped",
				id, headers, payload, handled, dead, dropped)
		}
	})
}

// envelopes is a subscriber to a stream to which other clients publish.
type envelopes struct {
	cfg     natsbus.Config
	js      jetstream.JetStream
	durable string
	last    uint64 // message that was published
	pool    *postgres.DB
	log     *droppings
}

func newEnvelopes(f *testing.F) *envelopes {
	f.Helper()
	broker, err := sharedBroker()
	if err != nil {
		f.Fatal(err)
	}
	e := &envelopes{
		log:  &droppings{},
		pool: pgtest.New(f, pgtest.Schema{Module: "subscriber", Migrations: effects}).Module(f, "subscriber"),
		cfg: natsbus.Config{
			URL: broker.URL(), Stream: "fuzz-" + uuid.NewString()[:8], Replicas: 1, MaxAge: time.Hour,
			AckWait: time.Minute, MaxAckPending: 256, NakDelay: 10 * time.Millisecond, PublishTimeout: 5 * time.Second,
		},
	}
	bus, err := natsbus.Open(e.cfg, slog.New(slog.NewTextHandler(e.log, nil)))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { bus.Close() })
	if err := bus.Provision(f.Context(), map[string][]string{"subscriber": {topic}}); err != nil {
		f.Fatal(err)
	}
	conn, err := nats.Connect(e.cfg.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(conn.Close)
	if e.js, err = jetstream.New(conn); err != nil {
		f.Fatal(err)
	}
	names := e.stream(f).ConsumerNames(f.Context())
	e.durable = <-names.Name()
	cfg := events.Config{
		RelayBatch: 50, ConsumerBatch: 20, Poll: time.Hour, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: 2 * time.Millisecond,
		OutboxRetention: time.Hour, InboxRetention: 2 * time.Hour, DeadRetention: time.Hour,
	}
	consumer := events.NewConsumer(e.pool, bus.Subscriber("subscriber"), []events.Handler{events.On(
		func(ctx context.Context, tx pgx.Tx, h happened) error {
			if h.Thing == "poison" {
				return errors.New("poison")
			}
			return count(ctx, tx, h)
		})}, cfg, slog.New(slog.NewTextHandler(e.log, nil)))
	if err := consumer.Subscribe(f.Context()); err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- consumer.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	return e
}

func (e *envelopes) stream(tb testing.TB) jetstream.Stream {
	tb.Helper()
	stream, err := e.js.Stream(tb.Context(), e.cfg.Stream)
	if err != nil {
		tb.Fatal(err)
	}
	return stream
}

// forget deletes an id, so that it counts as new.
func (e *envelopes) forget(t *testing.T) {
	t.Helper()
	if err := e.stream(t).Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"inbox", "failed", "effects"} {
		if _, err := e.pool.Exec(t.Context(), "DELETE FROM "+table); err != nil {
			t.Fatal(err)
		}
	}
}

// settled waits until every message is acknowledged or terminated, and so blocks no later one.
func (e *envelopes) settled(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(8 * time.Second); ; time.Sleep(time.Millisecond) {
		durable, err := e.js.Consumer(t.Context(), e.cfg.Stream, e.durable)
		if err != nil {
			t.Fatal(err)
		}
		info := durable.CachedInfo()
		if info.Delivered.Stream >= e.last && info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are pending and %d unacknowledged", info.NumPending, info.NumAckPending)
		}
	}
}

// droppings counts log lines about dropped messages.
type droppings struct {
	mu    sync.Mutex
	count int
}

func (d *droppings) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count += bytes.Count(line, []byte("dropped a message"))
	return len(line), nil
}

// dropped returns how many there were since the last call.
func (d *droppings) dropped() (count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	count, d.count = d.count, 0
	return count
}
