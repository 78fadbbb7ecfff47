package events_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

// Deleted events leave pending rows behind: here more than a batch, and older than all others. Rows
// that were written by hand have headers of any shape. And a late row, of a long transaction or
// another machine's clock, has a lower id than published ones.
func TestRowsThatWereChangedByHand(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe(eventtest.Count)
	others, err := s.bus.Subscribe(t.Context(), other{}.Topic())
	if err != nil {
		t.Fatal(err)
	}
	s.publish(eventtest.Things(1, s.Config.RelayBatch+10)...)
	s.exec(s.Publisher, "DELETE FROM outbox")
	s.publish("usual")
	put := func(rows string) {
		t.Helper()
		s.exec(s.Publisher, `WITH made AS (INSERT INTO outbox (id, topic, key, payload, headers) `+rows+` RETURNING id, topic)
			INSERT INTO outbox_pending (event_id, topic) SELECT id, topic FROM made`)
	}
	put(`SELECT gen_random_uuid(), 'publisher.happened.v1', h, jsonb_build_object('thing', h), h::jsonb
		FROM unnest(ARRAY['null', '"x"', '[1]', '{"aggregateversion":1,"actor":null}']) AS h`)
	put(`VALUES ('019a0b6f-5c28-7000-8000-000000000001'::uuid, 'publisher.other.v1', 'k', '{}'::jsonb,
		'{"s": "a\"b", "n": 12345678, "z": null, "o": {"a": 1}, "t": true, "l": ["x"]}'::jsonb)`)
	s.runOutbox()
	m := <-others
	m.Ack()
	want := message.Metadata{
		"s": `a"b`, "n": "12345678", "o": `{"a": 1}`, "t": "true", "l": `["x"]`, "type": other{}.Topic(), "replays": "0",
		"specversion": "1.0", "id": m.UUID, "source": "/publisher", "subject": "k", "datacontenttype": "application/json",
		"time": "2025-10-22T10:20:38.824Z",
	}
	if diff := cmp.Diff(want, m.Metadata); diff != "" {
		t.Error(diff)
	}
	s.Applied(5)
	s.Drained()
	put(`VALUES ('00000000-0000-7000-8000-000000000001'::uuid, 'publisher.happened.v1', 'late', '{"thing":"late"}'::jsonb, '{}'::jsonb)`)
	s.Applied(6)
}

// The refused rows are older than everything else and more than a batch.
func TestARefusedTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe(eventtest.Count)
	s.bus.refuse(other{}.Topic())
	var all []events.Event
	for range s.Config.RelayBatch + 10 {
		all = append(all, other{})
	}
	s.CommitAll(t.Context(), s.outbox, all...)
	s.exec(s.Publisher, "UPDATE outbox_pending SET created_at = now() - interval '1h'")
	s.runOutbox()
	// One by one, so that pauses of the whole relay after each refusal would add up.
	began := time.Now()
	for i := range 20 {
		s.publish(fmt.Sprint(i))
		s.Applied(i + 1)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 events took %s beside a refused topic", took)
	}
	s.Eventually(s.Publisher, 60, "SELECT count(*) FROM outbox_pending")
	time.Sleep(time.Until(began.Add(1500 * time.Millisecond)))
	if n, most := len(s.bus.all()), int(time.Since(began)/(75*time.Millisecond))*60; n > most { // it polls every 20 ms
		t.Errorf("the refused topic was published without a pause: %d messages, want %d at most", n, most)
	}
	s.bus.refuse("")
	s.Drained()
}

// An outbox that stops finishes and marks what is being published, and leaves the rest to the next.
func TestStoppingFinishesWhatIsBeingPublished(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.Poll = time.Hour
	s.subscribe(eventtest.Count)
	release := s.bus.hold(t, eventtest.Topic)
	stop := s.runOutbox()
	for i := range events.Publishers {
		s.publish(fmt.Sprint(i))
		<-s.bus.asked
	}
	s.publish("waits")
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	pgtest.Until(t, "it stops", func() bool { return !s.outbox.Running() })
	select {
	case <-stopped:
		t.Fatal("it did not wait for the bus")
	case <-time.After(200 * time.Millisecond):
	}
	release()
	<-stopped
	s.Applied(events.Publishers)
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox_pending")
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox JOIN outbox_pending ON id = event_id WHERE key = 'waits'")
	s.Config.Poll = 20 * time.Millisecond
	s.runOutbox()
	s.Applied(events.Publishers + 1)
	s.Drained()
	if all := s.bus.all(); len(all) != events.Publishers+1 {
		t.Errorf("published %v", all)
	}
}

// Events are marked after they are published. The mark is of that replay, so what is replayed
// meanwhile is published again; and it waits for no row that a replay has locked.
func TestAReplayOfWhatIsBeingPublishedIsNotLost(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe(eventtest.Count)
	s.runOutbox()
	release := s.bus.hold(t, eventtest.Topic)
	s.publish("one", "two")
	<-s.bus.asked
	time.Sleep(200 * time.Millisecond) // longer than published events wait for their mark
	s.Expect(s.Publisher, 2, "SELECT count(*) FROM outbox_pending")
	s.replay(2)
	locking, err := s.Publisher.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer locking.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it is over
	_, err = locking.Exec(t.Context(), "SELECT event_id FROM outbox_pending ORDER BY event_id LIMIT 1 FOR UPDATE")
	if err != nil {
		t.Fatal(err)
	}
	release()
	s.Eventually(s.Publisher, 1, "SELECT count(*) FROM outbox_pending")
	if err := locking.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Drained()
	replays := map[string]string{}
	for _, g := range s.bus.all() {
		replays[g.id] += g.replays
	}
	for id, twice := range replays {
		if twice[:2] != "01" || len(replays) != 2 {
			t.Errorf("published %v: %v", id, replays)
		}
	}
	s.Applied(2)
}

// Two processes of a module each have a relay, which skips what the other has in memory.
func TestTwoOutboxesDoNotPublishEverythingTwice(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.subscribe(eventtest.Count)
	s.runOutbox()
	two, _ := s.runOutboxOn(s.bus)
	const each = 100
	var both sync.WaitGroup
	for name, outbox := range map[string]*events.Outbox{"one": s.outbox, "two": two} {
		both.Go(func() {
			for i := range each {
				s.Commit(t.Context(), outbox, fmt.Sprint(name, i))
				time.Sleep(15 * time.Millisecond) // in total more than the second for which a poll skips rows
			}
		})
	}
	both.Wait()
	s.Applied(2 * each)
	s.Drained()
	if n := len(s.bus.all()); n > 2*each*11/10 {
		t.Errorf("%d messages for %d events", n, 2*each)
	}
}
