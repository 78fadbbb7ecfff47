package events_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

const wait = 500 * time.Millisecond

// cutOff returns the subscriber's database through a network that drops everything, until heal is
// called.
func (s *system) cutOff() (db *postgres.DB, heal func()) {
	db, w := eventtest.Through(s.t, s.Subscriber, wait)
	return db, w.Freeze()
}

// behindAPooler returns the subscriber's database through a PgBouncer that cannot reach the server,
// until heal is called.
func (s *system) behindAPooler() (db *postgres.DB, heal func()) {
	login, err := url.Parse(s.Database.URL("subscriber"))
	if err != nil {
		s.t.Fatal(err)
	}
	w := wire.To(s.t, login.Host)
	login.Host = w.Address()
	p := pooler.New(s.t, login.String())
	db, err = postgres.Open(s.t.Context(), "subscriber", p.Through(login.String()), 5, eventtest.Schema)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(db.Close)
	return db, w.Freeze()
}

// lockModule returns the subscriber's database, and has another process hold the module's lock
// until heal is called.
func (s *system) lockModule() (db *postgres.DB, heal func()) {
	frozen := s.Database.Module(s.t, "subscriber")
	conn, err := frozen.Pool().Acquire(s.t.Context())
	if err == nil {
		_, err = conn.Exec(s.t.Context(), "BEGIN; "+share.TakeTurn)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return pgtest.Again(s.t, s.Subscriber, func(cfg *pgxpool.Config) {
			cfg.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(wait.Milliseconds())
		}), func() {
			_ = conn.Conn().Close(context.Background())
			conn.Release()
		}
}

// publishEach publishes the messages at the same time, and returns how many are refused.
func (s *system) publishEach(messages []*message.Message) int {
	var refused atomic.Int32
	var all sync.WaitGroup
	for _, m := range messages {
		all.Go(func() {
			if s.bus.Publish(eventtest.Topic, m) != nil {
				refused.Add(1)
			}
		})
	}
	all.Wait()
	return int(refused.Load())
}

// A consumer that waited for each event would hold a batch for minutes, and no other process could
// handle it. It logs the events that it has waited for. No event is blamed.
func TestABatchThatCannotBeHandledIsNackedAtOnce(t *testing.T) {
	t.Parallel()
	const all = 20
	for name, test := range map[string]struct {
		obstruct func(*system) (db *postgres.DB, heal func())
		hides    bool // the handler hides its error
	}{
		"the database cannot be reached": {obstruct: (*system).cutOff},
		"nor behind a pooler":            {obstruct: (*system).behindAPooler},
		"another process has the lock":   {obstruct: (*system).lockModule},
		"and the handler hides it":       {obstruct: (*system).lockModule, hides: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			db, heal := test.obstruct(s)
			heal = sync.OnceFunc(heal)
			t.Cleanup(heal)
			log := &output.Text{}
			consumer := events.NewConsumer(db, s.bus, []events.Handler{
				events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
					err := eventtest.Count(ctx, tx, h)
					if test.hides {
						return nil
					}
					return err
				}),
			}, s.Config, slog.New(slog.NewTextHandler(log, nil)))
			consumer.SetTxLimit(2 * wait)
			s.Consume(consumer)
			var batch []*message.Message
			for _, thing := range eventtest.Things(1, all) {
				batch = append(batch, messageOf(happened{Thing: thing}, "", nil))
			}
			if refused := s.publishEach(batch); refused != all {
				t.Errorf("%d are acknowledged", all-refused)
			}
			if waits := strings.Count(log.String(), "event nacked"); waits > 2 { // the first may have been alone
				t.Errorf("it waited %d times until it had nacked %d events", waits, all)
			}
			heal()
			for s.publishEach(batch) > 0 { // as a relay does
				time.Sleep(20 * time.Millisecond)
			}
			s.Applied(all)
			s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
		})
	}
}

// Stopping does not wait for a connection that cannot be made.
func TestStoppingInterruptsConnecting(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var stops []func()
	var wires []*wire.Wire
	for _, db := range []**postgres.DB{&s.Publisher, &s.Subscriber} {
		through, w := eventtest.Through(t, *db, time.Hour)
		t.Cleanup(w.Freeze())
		*db, wires = through, append(wires, w)
	}
	consumer := s.consumer(events.On(eventtest.Count))
	consumer.SetTxLimit(time.Hour)
	stops = append(stops, s.Consume(consumer), s.runOutbox())
	published := make(chan int, 1)
	go func() { published <- s.publishEach([]*message.Message{messageOf(happened{}, "", nil)}) }()
	for _, w := range wires { // its own connection, and a pruner's
		pgtest.Until(t, "they connect", func() bool { return w.Dials() >= 2 })
	}
	began := time.Now()
	for _, stop := range stops {
		stop()
	}
	if took := time.Since(began); took > 20*time.Second { // a transaction, or a step of a worker, may take 30
		t.Errorf("it stopped after %s", took)
	}
	if <-published == 0 {
		t.Error("the event is acknowledged")
	}
}
