package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// through returns db with connections that go through the wire.
func through(t *testing.T, w *wire.Wire, db *postgres.DB, connectTimeout time.Duration) *postgres.DB {
	t.Helper()
	cfg := db.Config()
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.Address())
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &postgres.DB{Pool: pool, Module: db.Module}
}

// wireTo returns a wire to the server of a database.
func wireTo(t *testing.T, db *postgres.DB) *wire.Wire {
	t.Helper()
	cfg := db.Config().ConnConfig
	return wire.To(t, net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))
}

// cutOff returns the subscriber's database through a network that drops everything, until heal is
// called.
func (s *shop) cutOff(t *testing.T, connectTimeout time.Duration) (db *postgres.DB, heal func()) {
	t.Helper()
	w := wireTo(t, s.subscriber)
	db, heal = through(t, w, s.subscriber, connectTimeout), w.Freeze()
	t.Cleanup(heal)
	return db, heal
}

// behindAPooler returns the subscriber's database through a PgBouncer that cannot reach the server,
// until heal is called.
func (s *shop) behindAPooler(t *testing.T, _ time.Duration) (db *postgres.DB, heal func()) {
	t.Helper()
	login, err := url.Parse(s.db.URL("subscriber"))
	if err != nil {
		t.Fatal(err)
	}
	w := wire.To(t, login.Host)
	login.Host = w.Address()
	p := pooler.New(t, login.String())
	db, err = postgres.Open(t.Context(), "subscriber", p.Through(login.String()), 5, subscriberSchema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	heal = w.Freeze()
	t.Cleanup(heal)
	return db, heal
}

// watchedBus reports when a subscriber takes a message, and when it nacks one.
type watchedBus struct {
	*flakyBus
	taken  chan struct{}
	nacked chan struct{}
}

func watch(bus *flakyBus) watchedBus {
	return watchedBus{flakyBus: bus, taken: make(chan struct{}, 10000), nacked: make(chan struct{}, 10000)}
}

func (b watchedBus) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	messages, err := b.flakyBus.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range messages {
			out <- m
			b.taken <- struct{}{}
			go func() {
				select {
				case <-m.Acked():
				case <-m.Nacked():
					b.nacked <- struct{}{}
				}
			}()
		}
	}()
	return out, nil
}

// A consumer that waited for each event would hold a batch for minutes, and no other process could
// handle it. It logs the events that it has waited for.
func TestABatchThatCannotBeHandledIsNackedAtOnce(t *testing.T) {
	t.Parallel()
	const all, wait = 20, 500 * time.Millisecond
	for name, obstruct := range map[string]func(*shop, *testing.T, time.Duration) (db *postgres.DB, heal func()){
		"the database cannot be reached": (*shop).cutOff,
		"nor behind a pooler":            (*shop).behindAPooler,
		"another process has the lock":   (*shop).lockModule,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			db, heal := obstruct(s, t, wait)
			bus := watch(s.bus)
			var logged logBuffer
			consumer := events.NewConsumer(db, bus, []events.Handler{events.On(count)}, s.cfg,
				slog.New(slog.NewTextHandler(&logged, nil)))
			consumer.SetTxLimit(2 * wait)
			s.runConsumer(t, consumer)
			batch := make([]*message.Message, all)
			for i := range batch {
				batch[i] = message.NewMessage(uuid.NewString(), fmt.Appendf(nil, `{"thing":"%d"}`, i))
			}
			if err := bus.Publish(happened{}.Topic(), batch...); err == nil {
				t.Error("they are acknowledged")
			}
			for range all {
				<-bus.nacked
			}
			if waits := logged.count("event nacked"); waits > 2 { // the first may have been alone
				t.Errorf("it waited %d times until it had nacked %d events", waits, all)
			}
			heal()
			for bus.Publish(happened{}.Topic(), batch...) != nil { // as a relay does
				time.Sleep(20 * time.Millisecond)
			}
			expect(t, s.subscriber, all, "SELECT count(*) FROM effects WHERE times = 1")
			expect(t, s.subscriber, 0, "SELECT count(*) FROM failed")
		})
	}
}

// Stopping does not wait for a connection that cannot be made.
func TestStoppingInterruptsConnecting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w := wireTo(t, s.subscriber)
	t.Cleanup(w.Freeze())
	subscriber, publisher := through(t, w, s.subscriber, time.Hour), through(t, w, s.publisher, time.Hour)
	consumer := events.NewConsumer(subscriber, s.bus, []events.Handler{events.On(count)}, s.cfg, s.log)
	consumer.SetTxLimit(time.Hour)
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	outbox := events.NewOutbox(publisher, s.bus, s.cfg, s.log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- consumer.Run(ctx) }()
	go func() { ended <- outbox.Run(ctx) }()
	published := make(chan error, 1)
	go func() {
		published <- s.bus.Publish(happened{}.Topic(), message.NewMessage(uuid.NewString(), []byte(`{"thing":"one"}`)))
	}()
	await(t, func() bool { return w.Dials() >= 4 }) // the outbox's, the consumer's, and a pruner's each
	stop()
	for range 2 {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second): // a transaction, or a step of a worker, may take 30
			t.Fatal("it still connects")
		}
	}
	if <-published == nil {
		t.Error("the event is acknowledged")
	}
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("timed out")
		}
	}
}

// lockModule returns the subscriber's database with that lock_timeout, and has another process hold
// the module's lock until heal is called.
func (s *shop) lockModule(t *testing.T, lockTimeout time.Duration) (db *postgres.DB, heal func()) {
	t.Helper()
	other, err := s.subscriber.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const lock = "(hashtextextended('seam.consumer.' || current_schema(), 0))"
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_lock"+lock); err != nil {
		t.Fatal(err)
	}
	cfg := s.subscriber.Config()
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(lockTimeout.Milliseconds())
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &postgres.DB{Pool: pool, Module: "subscriber"}, func() {
		defer other.Release()
		if _, err := other.Exec(t.Context(), "SELECT pg_advisory_unlock"+lock); err != nil {
			t.Error(err)
		}
	}
}
