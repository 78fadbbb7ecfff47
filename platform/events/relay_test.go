package events_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// A late row, of a long transaction or another machine's clock, has a lower id than published ones.
func TestTheRelayFindsRowsThatCameLate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	s.publish(t.Context(), t, "fresh")
	eventually(t, s.publisher, 0, drained)
	_, err := s.publisher.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES ('00000000-0000-7000-8000-000000000001', 'publisher.happened.v1', 'late', '{"thing":"late"}', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'late'")
}

// Deleted events leave pending rows behind: more than a batch, and older than all others.
func TestADeletedEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	var things []string
	for i := range s.cfg.RelayBatch + 10 {
		things = append(things, fmt.Sprint(i))
	}
	s.publish(t.Context(), t, things...)
	if _, err := s.publisher.Exec(t.Context(), "DELETE FROM outbox"); err != nil {
		t.Fatal(err)
	}
	s.publish(t.Context(), t, "other")
	s.runOutbox(t)
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'other'")
	eventually(t, s.publisher, 0, drained)
}

// A row that was written by hand may have headers of any shape.
func TestHeadersThatCannotBeReadHoldUpNoEvent(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	_, err := s.publisher.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		SELECT gen_random_uuid(), 'publisher.happened.v1', h, jsonb_build_object('thing', h), h::jsonb
		FROM unnest(ARRAY['null', '"x"', '[1]', '{"aggregateversion":1,"actor":null}']) AS h`)
	if err != nil {
		t.Fatal(err)
	}
	s.publish(t.Context(), t, "usual")
	s.runOutbox(t)
	eventually(t, s.subscriber, 5, "SELECT count(*) FROM effects")
}

// A header that is not a string is published as its JSON.
func TestHeadersThatAreNoTexts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	messages, err := s.bus.Subscribe(t.Context(), happened{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.publisher.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES (gen_random_uuid(), 'publisher.happened.v1', 'k', '{}',
		'{"s": "a\"b", "n": 12345678, "z": null, "o": {"a": 1}, "t": true, "l": ["x"]}')`)
	if err != nil {
		t.Fatal(err)
	}
	s.runOutbox(t)
	m := <-messages
	m.Ack()
	want := message.Metadata{
		"s": `a"b`, "n": "12345678", "o": `{"a": 1}`, "t": "true", "l": `["x"]`,
		"type": happened{}.Topic(), "replays": "0",
	}
	if diff := cmp.Diff(want, m.Metadata); diff != "" {
		t.Error(diff)
	}
}

// The refused rows are older than everything else and more than a batch.
func TestARefusedTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.bus.refuse(other{}.Topic())
	var all []events.Event
	for i := range s.cfg.RelayBatch + 10 {
		all = append(all, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.publisher, s.outbox, all...)
	_, err := s.publisher.Exec(t.Context(), "UPDATE outbox_pending SET created_at = now() - interval '1h'")
	if err != nil {
		t.Fatal(err)
	}
	s.runOutbox(t)
	// One by one, so that pauses of the whole relay after each refusal would add up.
	began := time.Now()
	for i := range 20 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		eventually(t, s.subscriber, int64(i+1), "SELECT count(*) FROM effects WHERE times = 1")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 events took %s beside a refused topic", took)
	}
	eventually(t, s.publisher, 60, drained)
	time.Sleep(time.Until(began.Add(1500 * time.Millisecond)))
	if n, most := len(s.bus.all()), int(time.Since(began)/(75*time.Millisecond))*60; n > most { // it polls every 20 ms
		t.Errorf("the refused topic was published without a pause: %d messages, want %d at most", n, most)
	}
	s.bus.refuse("")
	eventually(t, s.publisher, 0, drained)
}

// Publishing a batch takes as long as its slowest handler, which holds up its topic and no other.
func TestASlowTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 5, time.Hour
	s.subscribe(t, count)
	s.runOutbox(t)
	release := s.bus.hold(t, other{}.Topic())
	var slow []events.Event
	for i := range 3 * s.cfg.RelayBatch {
		slow = append(slow, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.publisher, s.outbox, slow...)
	<-s.bus.asked
	for i := range 100 {
		s.publish(t.Context(), t, fmt.Sprint(i))
		if i%20 == 0 { // so that they fit into memory
			eventually(t, s.subscriber, int64(i+1), "SELECT count(*) FROM effects")
		}
	}
	eventually(t, s.subscriber, 100, "SELECT count(*) FROM effects")
	eventually(t, s.publisher, int64(len(slow)), drained)
	release()
	eventually(t, s.publisher, 0, drained)
}

// A replay locks rows in another order than they are marked in.
func TestMarkingWaitsForNoReplay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.runOutbox(t)
	release := s.bus.hold(t, happened{}.Topic())
	s.publish(t.Context(), t, "one", "two")
	<-s.bus.asked
	replay, err := s.publisher.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it is over
	_, err = replay.Exec(t.Context(), "SELECT event_id FROM outbox_pending ORDER BY event_id LIMIT 1 FOR UPDATE")
	if err != nil {
		t.Fatal(err)
	}
	release()
	eventually(t, s.publisher, 1, drained)
	if err := replay.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, s.publisher, 0, drained)
}

// The poll finds the event of a process that died past more events in memory than a queue holds.
func TestASlowTopicDoesNotBlockThePoll(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch = 2
	s.subscribe(t, count)
	died := s.outbox
	s.runOutbox(t)
	s.bus.hold(t, other{}.Topic())
	var slow []events.Event
	for i := range 50 {
		slow = append(slow, other{happened{fmt.Sprint(i)}})
	}
	commit(t.Context(), t, s.publisher, s.outbox, slow...)
	commit(t.Context(), t, s.publisher, died, append(slow, happened{"quick"})...)
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects")
}

// An outbox that stops finishes and marks what is being published, and leaves the rest to the next.
func TestStoppingFinishesWhatIsBeingPublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.RelayBatch, s.cfg.Poll = 5, time.Hour
	s.subscribe(t, count)
	release := s.bus.hold(t, happened{}.Topic())
	s.outbox = events.NewOutbox(s.publisher, s.bus, s.cfg, s.log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.outbox.Run(ctx) }()
	await(t, s.outbox.Running)
	s.publish(t.Context(), t, "0", "1", "2", "3", "4", "waits")
	<-s.bus.asked
	stop()
	await(t, func() bool { return !s.outbox.Running() })
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the bus: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	release()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	expect(t, s.subscriber, 5, "SELECT count(*) FROM effects")
	expect(t, s.publisher, 1, drained)
	expect(t, s.publisher, 1,
		"SELECT count(*) FROM outbox WHERE key = 'waits' AND id IN (SELECT event_id FROM outbox_pending)")
	s.cfg.Poll = 20 * time.Millisecond
	s.runOutbox(t)
	eventually(t, s.subscriber, 6, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
	if all := s.bus.all(); len(all) != 6 {
		t.Errorf("published %v", all)
	}
}

// An event that is replayed while it is being published is published again, because the mark is of
// the first.
func TestAReplayOfWhatIsBeingPublishedIsNotLost(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	release := s.bus.hold(t, happened{}.Topic())
	s.publish(t.Context(), t, "thing")
	<-s.bus.asked
	s.replay(t, 1)
	release()
	eventually(t, s.publisher, 0, drained)
	all := s.bus.all()
	if len(all) != 2 || all[0].replays != "0" || all[1].replays != "1" || all[0].id != all[1].id {
		t.Errorf("published %v", all)
	}
	expect(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE times = 1")
}

// Two processes of a module each have a relay, which skips what the other has in memory.
func TestTwoOutboxesDoNotPublishEverythingTwice(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	one := s.outbox
	two, _ := s.runOutboxOn(t, s.bus)
	const each = 100
	var both sync.WaitGroup
	for name, outbox := range map[string]*events.Outbox{"one": one, "two": two} {
		both.Go(func() {
			for i := range each {
				commit(t.Context(), t, s.publisher, outbox, happened{fmt.Sprint(name, i)})
				time.Sleep(15 * time.Millisecond) // in total more than the second for which a poll skips rows
			}
		})
	}
	both.Wait()
	eventually(t, s.subscriber, 2*each, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
	if n := len(s.bus.all()); n > 2*each*11/10 {
		t.Errorf("%d messages for %d events", n, 2*each)
	}
}

// An event is marked after it is published: a crash in between must not lose it.
func TestAnEventIsMarkedAfterItsDelivery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		time.Sleep(100 * time.Millisecond) // longer than published events wait for their mark
		expect(t, s.publisher, 1, drained)
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	s.publish(t.Context(), t, "thing")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects")
	eventually(t, s.publisher, 0, drained)
}
