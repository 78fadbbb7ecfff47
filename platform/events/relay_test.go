package events_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	s.cfg.RelayBatch = 2 // of which ten fit
	s.listen(t, count)
	s.tell(t)
	release := s.bus.hold(t, happened{}.Topic())
	for i := range 100 {
		s.publish(t.Context(), t, fmt.Sprint(i))
	}
	expect(t, s.teller, 100, drained)
	if n := s.outbox.InHand(); n > 11*s.cfg.RelayBatch {
		t.Errorf("%d events are in memory", n)
	}
	release()
	eventually(t, s.listener, 100, "SELECT count(*) FROM effects WHERE times = 1")
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

// A row with an old id, from a long transaction or another machine's clock, lies below all that was
// ever published.
func TestTheRelayFindsRowsThatCameLate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	s.publish(t.Context(), t, "fresh")
	eventually(t, s.teller, 0, drained)
	_, err := s.teller.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES ('00000000-0000-7000-8000-000000000001', 'teller.happened.v1', 'late', '{"thing":"late"}', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'late'")
}

// Whoever deletes events that are not published leaves their pending rows behind: more than a batch, and older than all others.
func TestADeletedEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	var things []string
	for i := range s.cfg.RelayBatch + 10 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	if _, err := s.teller.Exec(t.Context(), "DELETE FROM outbox"); err != nil {
		t.Fatal(err)
	}
	s.publish(t.Context(), t, "other")
	s.tell(t)
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'other'")
	eventually(t, s.teller, 0, drained)
}

// A row that was written by hand may have headers of any shape.
func TestHeadersThatCannotBeReadHoldUpNoEvent(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	_, err := s.teller.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		SELECT gen_random_uuid(), 'teller.happened.v1', h, jsonb_build_object('thing', h), h::jsonb
		FROM unnest(ARRAY['null', '"x"', '[1]', '{"aggregateversion":1,"actor":null}']) AS h`)
	if err != nil {
		t.Fatal(err)
	}
	s.publish(t.Context(), t, "usual")
	s.tell(t)
	eventually(t, s.listener, 5, "SELECT count(*) FROM effects")
}

// What is no text travels as it is written.
func TestHeadersThatAreNoTexts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	messages, err := s.bus.Subscribe(t.Context(), happened{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.teller.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers) VALUES (gen_random_uuid(),
		'teller.happened.v1', 'k', '{}', '{"s": "a\"b", "n": 12345678, "z": null, "o": {"a": 1}, "t": true, "l": ["x"]}')`)
	if err != nil {
		t.Fatal(err)
	}
	s.tell(t)
	m := <-messages
	m.Ack()
	want := message.Metadata{
		"s": `a"b`, "n": "12345678", "o": `{"a": 1}`, "t": "true", "l": `["x"]`, "type": happened{}.Topic(), "replays": "0",
	}
	if diff := cmp.Diff(want, m.Metadata); diff != "" {
		t.Error(diff)
	}
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

// The refused rows are older than everything else and more than a batch.
func TestARefusedTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.bus.refuse(other{}.Topic())
	var all []events.Event
	for i := range s.cfg.RelayBatch + 10 {
		all = append(all, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.teller, s.outbox, all...)
	if _, err := s.teller.Exec(t.Context(), "UPDATE outbox_pending SET created_at = now() - interval '1h'"); err != nil {
		t.Fatal(err)
	}
	s.tell(t)
	// One after another, so that a pause of the whole relay after each refusal would add up.
	began := time.Now()
	for i := range 20 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		eventually(t, s.listener, int64(i+1), "SELECT count(*) FROM effects WHERE times = 1")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 events took %s beside a refused topic", took)
	}
	eventually(t, s.teller, 60, drained)
	time.Sleep(time.Until(began.Add(1500 * time.Millisecond)))
	if n, most := len(s.bus.all()), int(time.Since(began)/(75*time.Millisecond))*60; n > most { // the poll comes every 20 ms
		t.Errorf("the bus was asked for the refused topic all the time: %d messages, want %d at most", n, most)
	}
	s.bus.refuse("")
	eventually(t, s.teller, 0, drained)
}

// The bus has a batch until its slowest handler is done. That holds up its topic, and no other.
func TestASlowTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 5, time.Hour
	s.listen(t, count)
	s.tell(t)
	release := s.bus.hold(t, other{}.Topic())
	var slow []events.Event
	for i := range 3 * s.cfg.RelayBatch {
		slow = append(slow, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.teller, s.outbox, slow...)
	<-s.bus.asked
	for i := range 100 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		if i%20 == 0 { // so that they fit into memory
			eventually(t, s.listener, int64(i+1), "SELECT count(*) FROM effects")
		}
	}
	eventually(t, s.listener, 100, "SELECT count(*) FROM effects")
	eventually(t, s.teller, int64(len(slow)), drained)
	release()
	eventually(t, s.teller, 0, drained)
}

// A backlog that memory does not hold is published without waiting for another poll, which comes once an hour.
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

// What is in hand, or more than a topic's queue takes, is in the way of no event that only the poll
// can find.
func TestTheEventsOfASlowTopicAreNotInTheWayOfThePoll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch = 2
	s.listen(t, count)
	died := s.outbox
	s.tell(t)
	s.bus.hold(t, other{}.Topic())
	var slow []events.Event
	for i := range 50 {
		slow = append(slow, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.teller, s.outbox, slow...)
	commit(t.Context(), t, s.teller, died, append(slow, happened{"quick"})...)
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects")
}

// An outbox that stops finishes what the bus has been given, and marks it. What still waits is left
// to the next.
func TestStoppingFinishesWhatIsBeingPublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 5, time.Hour
	s.listen(t, count)
	release := s.bus.hold(t, happened{}.Topic())
	s.outbox = events.NewOutbox(s.teller, s.bus, s.cfg, s.log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.outbox.Run(ctx) }()
	await(t, s.outbox.Running)
	s.publish(t.Context(), t, "0", "1", "2", "3", "4", "waits")
	<-s.bus.asked
	stop()
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the bus: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	expect(t, s.listener, 5, "SELECT count(*) FROM effects")
	expect(t, s.teller, 1, drained)
	expect(t, s.teller, 1, "SELECT count(*) FROM outbox WHERE key = 'waits' AND id IN (SELECT event_id FROM outbox_pending)")
	s.cfg.Poll = 20 * time.Millisecond
	s.tell(t)
	eventually(t, s.listener, 6, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.teller, 0, drained)
	if all := s.bus.all(); len(all) != 6 {
		t.Errorf("published %v", all)
	}
}

// An event that is replayed while it is being published is published again: its mark is not that of
// the replay.
func TestAReplayOfWhatIsBeingPublishedIsNotLost(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	release := s.bus.hold(t, happened{}.Topic())
	s.publish(t.Context(), t, "thing")
	<-s.bus.asked
	if n, err := events.Replay(t.Context(), s.teller.Pool, time.Now().Add(-time.Minute), func(int64) {}); err != nil || n != 1 {
		t.Fatalf("replay: %d, %v", n, err)
	}
	release()
	eventually(t, s.teller, 0, drained)
	all := s.bus.all()
	if len(all) != 2 || all[0].replays != "0" || all[1].replays != "1" || all[0].id != all[1].id {
		t.Errorf("published %v", all)
	}
	expect(t, s.listener, 1, "SELECT count(*) FROM effects WHERE times = 1")
}

// Two processes of one module have a relay each, and leave alone what the other has in hand.
func TestTwoOutboxesDoNotPublishEverythingTwice(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	one := s.outbox
	two, _ := s.tellOn(t, s.bus)
	const each = 100
	var both sync.WaitGroup
	for name, outbox := range map[string]*events.Outbox{"one": one, "two": two} {
		both.Go(func() {
			for i := range each {
				commit(t.Context(), t, s.teller, outbox, happened{fmt.Sprint(name, i)})
				time.Sleep(15 * time.Millisecond) // longer than the second for which a poll leaves rows alone
			}
		})
	}
	both.Wait()
	eventually(t, s.listener, 2*each, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.teller, 0, drained)
	if n := len(s.bus.all()); n > 2*each*11/10 {
		t.Errorf("%d messages for %d events", n, 2*each)
	}
}

// What was published is marked afterwards, and not before: a process that died in between would
// have lost it.
func TestAnEventIsMarkedAfterItsDelivery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		time.Sleep(100 * time.Millisecond) // longer than published events wait for their mark
		expect(t, s.teller, 1, drained)
		return count(ctx, tx, h)
	})
	s.tell(t)
	s.publish(t.Context(), t, "thing")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects")
	eventually(t, s.teller, 0, drained)
}
