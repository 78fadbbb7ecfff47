package events_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
)

// A row with an old id, from a long transaction or another machine's clock, lies below what a woken relay looks at.
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

// A topic waits for an event that the bus refuses, so one that it would always refuse is never written.
func TestAnEventThatIsTooLargeIsRefusedToWhoTellsIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	err := pgx.BeginFunc(t.Context(), s.teller, func(tx pgx.Tx) error {
		return events.PublishTx(t.Context(), tx, happened{strings.Repeat("x", 1<<20)})
	})
	if err == nil || !strings.Contains(err.Error(), "larger than a bus takes") {
		t.Errorf("error %v, want that it is too large", err)
	}
}

// The refused rows are older than everything else and more than a batch.
func TestARefusedTopicHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.bus.refuse(other{}.Topic())
	err := pgx.BeginFunc(t.Context(), s.teller, func(tx pgx.Tx) error {
		for i := range s.cfg.RelayBatch + 10 {
			if err := events.PublishTx(t.Context(), tx, other{happened{fmt.Sprint(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
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
	s.bus.refuse("")
	eventually(t, s.teller, 0, drained)
}

// slowBus takes one topic only when it is told to.
type slowBus struct {
	*events.MemoryBus
	asked, release chan struct{}
}

func (b *slowBus) Publish(topic string, messages ...*message.Message) error {
	if topic == (other{}).Topic() {
		close(b.asked)
		<-b.release
	}
	return b.MemoryBus.Publish(topic, messages...)
}

// The bus has a batch until its slowest listener is done.
func TestASlowBatchHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	bus := &slowBus{MemoryBus: s.bus.MemoryBus, asked: make(chan struct{}), release: make(chan struct{})}
	run(t, events.NewOutbox(s.teller, bus, s.cfg, s.log).Run)
	release := sync.OnceFunc(func() { close(bus.release) })
	t.Cleanup(release) // or the relay would not end when the test fails
	err := pgx.BeginFunc(t.Context(), s.teller, func(tx pgx.Tx) error { return events.PublishTx(t.Context(), tx, other{happened{"slow"}}) })
	if err != nil {
		t.Fatal(err)
	}
	<-bus.asked
	s.publish(t.Context(), t, "quick")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects")
	release()
	eventually(t, s.teller, 0, drained)
}

// clockBus writes down the database's time of each delivery.
type clockBus struct {
	*events.MemoryBus
	pool      *pgxpool.Pool
	delivered chan time.Time
}

func (b *clockBus) Publish(topic string, messages ...*message.Message) error {
	err := b.MemoryBus.Publish(topic, messages...)
	var now time.Time
	if err := b.pool.QueryRow(context.Background(), "SELECT clock_timestamp()").Scan(&now); err != nil {
		return err
	}
	b.delivered <- now
	return err
}

// A replay of what was published since a moment must include what was on its way at that moment.
func TestAnEventIsMarkedAfterItsDelivery(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	bus := &clockBus{MemoryBus: s.bus.MemoryBus, pool: s.teller, delivered: make(chan time.Time, 1)}
	run(t, events.NewOutbox(s.teller, bus, s.cfg, s.log).Run)
	s.publish(t.Context(), t, "thing")
	delivered := <-bus.delivered
	eventually(t, s.teller, 0, drained)
	var marked time.Time
	if err := s.teller.QueryRow(t.Context(), "SELECT published_at FROM outbox").Scan(&marked); err != nil {
		t.Fatal(err)
	}
	if marked.Before(delivered) {
		t.Errorf("marked %s before its delivery", delivered.Sub(marked))
	}
}
