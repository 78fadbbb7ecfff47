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

// through returns a database like the given one that connects by way of the wire.
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

// wireTo is a wire to the server of a database.
func wireTo(t *testing.T, db *postgres.DB) *wire.Wire {
	t.Helper()
	cfg := db.Config().ConnConfig
	return wire.To(t, net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)))
}

// cutOff returns a database of the listener's that reaches a network which swallows everything,
// until heal is called.
func (s *shop) cutOff(t *testing.T, connectTimeout time.Duration) (db *postgres.DB, heal func()) {
	t.Helper()
	w := wireTo(t, s.listener)
	db, heal = through(t, w, s.listener, connectTimeout), w.Freeze()
	t.Cleanup(heal)
	return db, heal
}

// behindAPooler returns a database of the listener's that reaches PgBouncer and not the server
// behind it, until heal is called.
func (s *shop) behindAPooler(t *testing.T) (db *postgres.DB, heal func()) {
	t.Helper()
	login, err := url.Parse(s.db.URL("listener"))
	if err != nil {
		t.Fatal(err)
	}
	w := wire.To(t, login.Host)
	login.Host = w.Address()
	p := pooler.New(t, login.String())
	db, err = postgres.Open(t.Context(), "listener", p.Through(login.String()), 5, listenerSchema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	heal = w.Freeze()
	t.Cleanup(heal)
	return db, heal
}

// watchedBus tells when a subscriber has taken a message and when it has given one back.
type watchedBus struct {
	*flakyBus
	taken     chan struct{}
	givenBack chan struct{}
}

func watch(bus *flakyBus) watchedBus {
	return watchedBus{flakyBus: bus, taken: make(chan struct{}, 10000), givenBack: make(chan struct{}, 10000)}
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
					b.givenBack <- struct{}{}
				}
			}()
		}
	}()
	return out, nil
}

// A consumer that waited for each event would hold a batch for minutes, and no other process could
// have it. It logs the events that it has waited for.
func TestWhoCannotApplyABatchGivesAllOfItBackAtOnce(t *testing.T) {
	t.Parallel()
	const all, wait = 20, 500 * time.Millisecond
	for name, obstruct := range map[string]func(t *testing.T, s *shop) (db *postgres.DB, heal func()){
		"the database cannot be reached": func(t *testing.T, s *shop) (*postgres.DB, func()) { return s.cutOff(t, wait) },
		"nor behind a pooler":            func(t *testing.T, s *shop) (*postgres.DB, func()) { return s.behindAPooler(t) },
		"another process has the turn":   func(t *testing.T, s *shop) (*postgres.DB, func()) { return s.takeTurn(t, wait) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			db, heal := obstruct(t, s)
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
				t.Error("the bus believes that they are handled")
			}
			for range all {
				<-bus.givenBack
			}
			if waits := logged.count("event given back to the bus"); waits > 2 { // the first may have come alone
				t.Errorf("it has waited %d times until it had given %d events back", waits, all)
			}
			heal()
			for bus.Publish(happened{}.Topic(), batch...) != nil { // as a relay does
				time.Sleep(20 * time.Millisecond)
			}
			expect(t, s.listener, all, "SELECT count(*) FROM effects WHERE times = 1")
			expect(t, s.listener, 0, "SELECT count(*) FROM failed")
		})
	}
}

// Who stops need not wait for a connection that cannot be made.
func TestStoppingInterruptsConnecting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w := wireTo(t, s.listener)
	t.Cleanup(w.Freeze())
	listener, teller := through(t, w, s.listener, time.Hour), through(t, w, s.teller, time.Hour)
	consumer := events.NewConsumer(listener, s.bus, []events.Handler{events.On(count)}, s.cfg, s.log)
	consumer.SetTxLimit(time.Hour)
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	outbox := events.NewOutbox(teller, s.bus, s.cfg, s.log)
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
			t.Fatal("it goes on connecting")
		}
	}
	if <-published == nil {
		t.Error("the bus believes that the event is handled")
	}
}

func await(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

// takeTurn returns a database of the listener's that waits for locks for that long, and has another
// process keep the turn until heal.
func (s *shop) takeTurn(t *testing.T, lockTimeout time.Duration) (db *postgres.DB, heal func()) {
	t.Helper()
	other, err := s.listener.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const turn = "(hashtextextended('seam.consumer.' || current_schema(), 0))"
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_lock"+turn); err != nil {
		t.Fatal(err)
	}
	cfg := s.listener.Config()
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(lockTimeout.Milliseconds())
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &postgres.DB{Pool: pool, Module: "listener"}, func() {
		defer other.Release()
		if _, err := other.Exec(t.Context(), "SELECT pg_advisory_unlock"+turn); err != nil {
			t.Error(err)
		}
	}
}
