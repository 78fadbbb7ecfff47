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

// Whoever deletes events that are not published leaves their pending rows behind: more than a
// batch, and older than all others.
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
	s.replay(t, 1)
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
