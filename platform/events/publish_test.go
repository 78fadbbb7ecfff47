package events_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// An event is the module's own, and goes with a transaction of its database. Any other is refused,
// and says whose it is.
func TestOnlyItsOwnEventsArePublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.tell(t)
	again := s.db.Module(t, "teller")
	begin := func(db *postgres.DB) func(f func(pgx.Tx) error) error {
		return func(f func(pgx.Tx) error) error { return db.InTx(t.Context(), f) }
	}
	for name, test := range map[string]struct {
		ev   events.Event
		inTx func(f func(pgx.Tx) error) error
		says string
	}{
		"another module's topic":    {answered{}, begin(s.teller), "publish listener.answered.v1: the topic is for listener to publish, not for teller"},
		"another module's database": {happened{}, begin(s.listener), "was not begun by the database of teller"},
		"another of the module's":   {happened{}, begin(again), "was not begun by the database of teller"},
		"pgx's own transaction": {
			happened{}, func(f func(pgx.Tx) error) error { return pgx.BeginFunc(t.Context(), s.teller, f) }, "was not begun by",
		},
		"a savepoint": {happened{}, func(f func(pgx.Tx) error) error {
			return s.teller.InTx(t.Context(), func(tx pgx.Tx) error { return pgx.BeginFunc(t.Context(), tx, f) })
		}, "was not begun by"},
		// A topic waits for an event that the bus refuses, so one that it would always refuse is
		// never written.
		"too large": {happened{strings.Repeat("x", 1<<20)}, begin(s.teller), "larger than a bus takes"},
	} {
		err := test.inTx(func(tx pgx.Tx) error { return s.outbox.PublishTx(t.Context(), tx, test.ev) })
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want %s", name, err, test.says)
		}
	}
	expect(t, s.teller, 0, "SELECT count(*) FROM outbox")
	if all := s.bus.all(); len(all) > 0 {
		t.Errorf("published %v", all)
	}
}

// However many events a transaction publishes, they are written by one statement.
func TestATransactionWritesItsEventsAtOnce(t *testing.T) {
	t.Parallel()
	s := newShopOn(t, fstest.MapFS{"0001_statements.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE statements (rows bigint NOT NULL);
-- +goose StatementBegin
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO statements SELECT count(*) FROM written;
	RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note AFTER INSERT ON outbox REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note();
`)}})
	s.listen(t, count)
	s.tell(t)
	var all []events.Event
	for i := range 30 {
		all = append(all, happened{fmt.Sprint(i)}, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.teller, s.outbox, all...)
	expect(t, s.teller, 60, "SELECT sum(rows)::bigint FROM statements HAVING count(*) = 1")
	expect(t, s.teller, 60, "SELECT count(*) FROM outbox")
	eventually(t, s.listener, 30, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.teller, 0, drained)
}

// The poll comes once an hour, so it is not what publishes.
func TestACommitPublishes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Poll = time.Hour
	handled := make(chan time.Time, 1)
	s.listen(t, func(context.Context, pgx.Tx, happened) error { handled <- time.Now(); return nil })
	s.tell(t)
	var took []time.Duration
	for i := range 41 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		began := time.Now()
		select {
		case at := <-handled:
			took = append(took, at.Sub(began))
		case <-time.After(20 * time.Second):
			t.Fatalf("event %d is not published", i)
		}
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > 200*time.Millisecond {
		t.Errorf("from the commit to the handler: median %s, all %s", median, took)
	}
	eventually(t, s.teller, 0, drained)
	if all := s.bus.all(); len(all) != 41 {
		t.Errorf("%d messages for 41 events", len(all))
	}
}

// The process dies right after the commit, or with the event on its way to the bus: the next poll
// of any other has it.
func TestTheEventsOfAProcessThatDiedArePublished(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before it published", "while it published"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.cfg.Poll = time.Second // as it is in production
			s.listen(t, count)
			alive := &flakyBus{MemoryBus: s.bus.MemoryBus}
			s.tellOn(t, alive)
			if name == "while it published" {
				s.tell(t)
				s.bus.hold(t, happened{}.Topic())
			}
			s.publish(t.Context(), t, "thing")
			committed := time.Now()
			eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE times = 1")
			if took := time.Since(committed); took > 3*time.Second {
				t.Errorf("it was published after %s", took)
			}
			eventually(t, s.teller, 0, drained)
			if all := alive.all(); len(all) != 1 {
				t.Errorf("the other published %v", all)
			}
		})
	}
}

// Who commits does not wait for the bus, however much there is to publish: what does not fit into
// memory is found by the poll.
func TestAFullQueueIsLeftToThePoll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch = 2 // of which ten wait, and 32 are with the bus
	s.listen(t, count)
	s.tell(t)
	release := s.bus.hold(t, happened{}.Topic())
	for i := range 200 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	expect(t, s.teller, 200, drained)
	if n := s.outbox.InHand(); n > (10+32)*s.cfg.RelayBatch {
		t.Errorf("%d events are in memory", n)
	}
	release()
	eventually(t, s.listener, 200, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.teller, 0, drained)
}

// The memory bus waits for the consumer, and that commits more events of the topic that it waits
// for than any queue holds.
func TestAConsumerThatPublishesWaitsForNoBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.ConsumerBatch = 1, 1
	const first = 50
	consumer := events.NewConsumer(s.teller, s.bus, []events.Handler{events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing != "first" {
			return nil
		}
		for i := range first {
			if err := s.outbox.PublishTx(ctx, tx, happened{fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})}, s.cfg, s.log)
	s.tell(t)
	s.runConsumer(t, consumer)
	s.publish(t.Context(), t, "first")
	eventually(t, s.teller, first+1, "SELECT count(*) FROM inbox")
	eventually(t, s.teller, 0, drained)
}

// What is published from memory is what the poll would find, so a process that died changes nothing
// for a handler.
func TestMemoryAndTableHaveTheSameEvent(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Poll = time.Hour
	messages, err := s.bus.Subscribe(t.Context(), happened{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	var from []*message.Message
	for range 2 {
		if len(from) == 1 { // and now from the table
			if _, err := s.teller.Exec(t.Context(), "INSERT INTO outbox_pending (event_id, topic, created_at) SELECT id, topic, now() - interval '1h' FROM outbox"); err != nil {
				t.Fatal(err)
			}
		}
		stop := s.tell(t)
		if len(from) == 0 {
			s.publish(events.WithOrigin(t.Context(), events.Origin{CorrelationID: "request-7", Actor: "customer:ada"}), t, `thing "1"`)
		}
		m := <-messages
		m.Ack()
		from = append(from, m)
		stop()
	}
	for i, m := range from {
		if string(m.Payload) != []string{`{"thing":"thing \"1\""}`, `{"thing": "thing \"1\""}`}[i] {
			t.Errorf("payload %s", m.Payload)
		}
	}
	if diff := cmp.Diff(from[0].Metadata, from[1].Metadata); diff != "" || from[0].UUID != from[1].UUID || len(from[0].Metadata) != 11 {
		t.Errorf("%s is %v, and %s: %s", from[0].UUID, from[0].Metadata, from[1].UUID, diff)
	}
}

// A backlog that memory does not hold is published without waiting for another poll, which comes
// once an hour.
func TestABacklogIsPublishedWithoutAPause(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 2, time.Hour
	s.listen(t, count)
	var things []string
	for i := range 200 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	if _, err := s.teller.Exec(t.Context(), "UPDATE outbox_pending SET created_at = now() - interval '1h'"); err != nil {
		t.Fatal(err)
	}
	s.tell(t)
	eventually(t, s.listener, 200, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.teller, 0, drained)
}
