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
	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
)

// PublishTx refuses another module's event or transaction, and names the module.
func TestOnlyItsOwnEventsArePublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.runOutbox(t)
	again := s.db.Module(t, "publisher")
	begin := func(db *postgres.DB) func(f func(pgx.Tx) error) error {
		return func(f func(pgx.Tx) error) error { return db.InTx(t.Context(), f) }
	}
	for name, test := range map[string]struct {
		ev   events.Event
		inTx func(f func(pgx.Tx) error) error
		says string
	}{
		"another module's topic":    {answered{}, begin(s.publisher), "topic belongs to subscriber, not to publisher"},
		"another module's database": {happened{}, begin(s.subscriber), "was not begun by the database of publisher"},
		"another of the module's":   {happened{}, begin(again), "was not begun by the database of publisher"},
		"pgx's own transaction": {
			happened{}, func(f func(pgx.Tx) error) error {
				return pgx.BeginFunc(t.Context(), s.publisher, f)
			}, "was not begun by",
		},
		"a savepoint": {happened{}, func(f func(pgx.Tx) error) error {
			return s.publisher.InTx(t.Context(), func(tx pgx.Tx) error { return pgx.BeginFunc(t.Context(), tx, f) })
		}, "was not begun by"},
		// An event that the bus always refuses would hold up its topic, so it is never written.
		"too large": {happened{strings.Repeat("x", 1<<20)}, begin(s.publisher), "larger than a bus takes"},
	} {
		err := test.inTx(func(tx pgx.Tx) error { return s.outbox.PublishTx(t.Context(), tx, test.ev) })
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: error %v, want %s", name, err, test.says)
		}
	}
	expect(t, s.publisher, 0, "SELECT count(*) FROM outbox")
	if all := s.bus.all(); len(all) > 0 {
		t.Errorf("published %v", all)
	}
}

// A transaction writes all its events with one statement.
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
	s.subscribe(t, count)
	s.runOutbox(t)
	var all []events.Event
	for i := range 30 {
		all = append(all, happened{fmt.Sprint(i)}, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.publisher, s.outbox, all...)
	expect(t, s.publisher, 60, "SELECT sum(rows)::bigint FROM statements HAVING count(*) = 1")
	expect(t, s.publisher, 60, "SELECT count(*) FROM outbox")
	eventually(t, s.subscriber, 30, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
}

// The poll, once an hour, is not what publishes.
func TestACommitPublishes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.Poll = time.Hour
	handled := make(chan time.Time, 1)
	s.subscribe(t, func(context.Context, pgx.Tx, happened) error { handled <- time.Now(); return nil })
	s.runOutbox(t)
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
	eventually(t, s.publisher, 0, drained)
	if all := s.bus.all(); len(all) != 41 {
		t.Errorf("%d messages for 41 events", len(all))
	}
}

// The process dies after the commit, or while the bus has the event: another's next poll publishes
// it.
func TestTheEventsOfAProcessThatDiedArePublished(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before it published", "while it published"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.cfg.Poll = time.Second // as it is in production
			s.subscribe(t, count)
			alive := &flakyBus{MemoryBus: s.bus.MemoryBus}
			s.runOutboxOn(t, alive)
			if name == "while it published" {
				s.runOutbox(t)
				s.bus.hold(t, happened{}.Topic())
			}
			s.publish(t.Context(), t, "thing")
			committed := time.Now()
			eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
			if took := time.Since(committed); took > 3*time.Second {
				t.Errorf("it was published after %s", took)
			}
			eventually(t, s.publisher, 0, drained)
			if all := alive.all(); len(all) != 1 {
				t.Errorf("the other process published %v", all)
			}
		})
	}
}

// A commit does not wait for the bus: what does not fit into memory is left to the poll.
func TestAFullQueueIsLeftToThePoll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch = 2 // ten batches wait, and 32 are being published
	s.subscribe(t, count)
	s.runOutbox(t)
	release := s.bus.hold(t, happened{}.Topic())
	for i := range 200 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	expect(t, s.publisher, 200, drained)
	if n := s.outbox.InHand(); n > (10+32)*s.cfg.RelayBatch {
		t.Errorf("%d events are in memory", n)
	}
	release()
	eventually(t, s.subscriber, 200, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
}

// The memory bus waits for a consumer, which commits more events of that topic than its queue
// holds.
func TestAConsumerThatPublishesDoesNotWaitForTheBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.ConsumerBatch = 1, 1
	const first = 50
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing != "first" {
			return nil
		}
		for i := range first {
			if err := s.outbox.PublishTx(ctx, tx, happened{fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	consumer := events.NewConsumer(s.publisher, s.bus, []events.Handler{handler}, s.cfg, s.log)
	s.runOutbox(t)
	s.runConsumer(t, consumer)
	s.publish(t.Context(), t, "first")
	eventually(t, s.publisher, first+1, "SELECT count(*) FROM inbox")
	eventually(t, s.publisher, 0, drained)
}

// The poll publishes the same message as memory, so after a crash nothing changes for a handler.
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
			_, err := s.publisher.Exec(t.Context(), `INSERT INTO outbox_pending (event_id, topic, created_at)
				SELECT id, topic, now() - interval '1h' FROM outbox`)
			if err != nil {
				t.Fatal(err)
			}
		}
		stop := s.runOutbox(t)
		if len(from) == 0 {
			request := origin.Request{CorrelationID: "request-7", Actor: "customer:ada"}
			s.publish(origin.With(t.Context(), request), t, `thing "1"`)
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
	diff := cmp.Diff(from[0].Metadata, from[1].Metadata)
	if diff != "" || from[0].UUID != from[1].UUID || len(from[0].Metadata) != 11 {
		t.Errorf("%s is %v, and %s: %s", from[0].UUID, from[0].Metadata, from[1].UUID, diff)
	}
}

// A backlog larger than the queue is published without waiting for the next poll, an hour later.
func TestABacklogIsPublishedWithoutAPause(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 2, time.Hour
	s.subscribe(t, count)
	var things []string
	for i := range 200 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	_, err := s.publisher.Exec(t.Context(), "UPDATE outbox_pending SET created_at = now() - interval '1h'")
	if err != nil {
		t.Fatal(err)
	}
	s.runOutbox(t)
	eventually(t, s.subscriber, 200, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
}
