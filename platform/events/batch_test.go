package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// gate is an event whose handler blocks, so that what arrives meanwhile is one batch.
type gate struct{ happened }

func (gate) Topic() string { return "publisher.gate.v1" }

// changed is an event of an aggregate.
type changed struct {
	ID      string `json:"id"`
	Version int64  `json:"version"`
}

func (changed) Topic() string { return "publisher.changed.v1" }

func (c changed) Aggregate() (id string, version int64) { return c.ID, c.Version }

// removed is another event of an aggregate.
type removed struct{ changed }

func (removed) Topic() string { return "publisher.removed.v1" }

// messageOf returns the message of an event with a cause.
func messageOf(t *testing.T, ev events.Event, cause events.Cause) *message.Message {
	t.Helper()
	payload, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	m := message.NewMessage(uuid.NewString(), payload)
	m.Metadata = message.Metadata{}
	for name, value := range cause {
		m.Metadata[name] = value
	}
	m.Metadata["type"] = ev.Topic()
	m.Metadata["subject"], _ = ev.Aggregate()
	return m
}

// batch delivers the messages to a consumer as one batch, in this order. It returns how each was
// acknowledged, and stop, which ends the consumer.
func (s *shop) batch(
	t *testing.T, handlers []events.Handler, messages ...*message.Message,
) (answers []error, stop func()) {
	t.Helper()
	entered, proceed := make(chan struct{}), make(chan struct{})
	handlers = append(handlers, events.On(func(context.Context, pgx.Tx, gate) error {
		close(entered)
		<-proceed
		return nil
	}))
	s.cfg.ConsumerBatch = max(s.cfg.ConsumerBatch, len(messages))
	consumer := events.NewConsumer(s.subscriber, s.bus, handlers, s.cfg, s.log)
	stop = s.runConsumer(t, consumer)
	open := sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(open)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		if err := s.bus.Publish(gate{}.Topic(), messageOf(t, gate{}, nil)); err != nil {
			t.Errorf("gate: %v", err)
		}
	})
	<-entered
	answers = make([]error, len(messages))
	for i, m := range messages {
		publishing.Go(func() { answers[i] = s.bus.Publish(m.Metadata["type"], m) })
		await(t, func() bool { return consumer.Waiting() == i+1 })
	}
	open()
	publishing.Wait()
	return answers, stop
}

func mustBeAcknowledged(t *testing.T, answers []error) {
	t.Helper()
	if err := errors.Join(answers...); err != nil {
		t.Error(err)
	}
}

// insertAll is a batch handler of one statement, which fails for one thing.
func insertAll(_ context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
	var things []string
	for _, d := range batch {
		if d.Event.Thing == "poison" {
			return errors.New("it is broken")
		}
		things = append(things, d.Event.Thing)
	}
	postgres.QueueSQL(tx, "INSERT INTO effects (thing, times) SELECT unnest($1::text[]), 1", things)
	return nil
}

// A batch handler gets all events in one call, in order, each with its cause, which the events that
// it publishes keep.
func TestABatchIsOneCall(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	answers := events.NewOutbox(s.subscriber, s.bus, s.cfg, s.log)
	var mu sync.Mutex
	var calls [][]string
	handler := events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
		var things []string
		for _, d := range batch {
			things = append(things, d.Event.Thing)
			if err := answers.PublishTx(events.WithCause(ctx, d.Cause), tx, answered{d.Event}); err != nil {
				return err
			}
		}
		mu.Lock()
		calls = append(calls, things)
		mu.Unlock()
		return insertAll(ctx, tx, batch)
	})
	var messages []*message.Message
	var want []string
	for i := range 12 {
		messages = append(messages, messageOf(t, happened{fmt.Sprint(i)}, events.Cause{
			"correlationid": fmt.Sprint("request-", i), "actor": fmt.Sprint("customer:", i),
			"traceparent": fmt.Sprintf("00-%032x-%016x-01", i+1, i+1),
		}))
		want = append(want, fmt.Sprint(i))
	}
	acknowledged, _ := s.batch(t, []events.Handler{handler}, messages...)
	mustBeAcknowledged(t, acknowledged)
	if diff := cmp.Diff([][]string{want}, calls); diff != "" {
		t.Errorf("calls: %s", diff)
	}
	expect(t, s.subscriber, 12, "SELECT count(*) FROM effects WHERE times = 1")
	expect(t, s.subscriber, 12, `SELECT count(*) FROM outbox WHERE topic = 'subscriber.answered.v1'
		AND headers->>'correlationid' = 'request-' || key AND headers->>'actor' = 'customer:' || key
		AND headers->>'traceparent' LIKE '00-' || lpad(to_hex(key::int + 1), 32, '0') || '-%'`)
}

// In a batch, too, a handler of single events has the cause of each.
func TestAnEventOfABatchHasItsOwnCause(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	answers := events.NewOutbox(s.subscriber, s.bus, s.cfg, s.log)
	handler := events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		return answers.PublishTx(ctx, tx, answered{h})
	})
	var messages []*message.Message
	for i := range 5 {
		cause := events.Cause{"correlationid": fmt.Sprint("request-", i)}
		messages = append(messages, messageOf(t, happened{fmt.Sprint(i)}, cause))
	}
	acknowledged, _ := s.batch(t, []events.Handler{handler}, messages...)
	mustBeAcknowledged(t, acknowledged)
	expect(t, s.subscriber, 5, "SELECT count(*) FROM outbox WHERE headers->>'correlationid' = 'request-' || key")
}

// Each topic's handler is called as few times as the order of each aggregate's events allows.
func TestTheOrderOfAnAggregateIsKeptInABatch(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ batch, want []string }{
		"two aggregates": {
			[]string{"changed a 1", "changed b 1", "removed a 2", "removed b 2"},
			[]string{"changed a 1, changed b 1", "removed a 2, removed b 2"},
		},
		"one that comes back": {
			[]string{"changed a 1", "removed a 2", "changed b 1", "changed a 3"},
			[]string{"changed a 1, changed b 1", "removed a 2", "changed a 3"},
		},
		"opposite orders": {
			[]string{"changed a 1", "removed b 1", "removed a 2", "changed b 2"},
			[]string{"changed a 1", "removed b 1, removed a 2", "changed b 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			var mu sync.Mutex
			var calls []string
			note := func(topic string, all []changed) error {
				var call []string
				for _, c := range all {
					call = append(call, fmt.Sprint(topic, " ", c.ID, " ", c.Version))
				}
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, strings.Join(call, ", "))
				return nil
			}
			handlers := []events.Handler{
				events.OnBatch(func(_ context.Context, _ pgx.Tx, batch []events.Delivery[changed]) error {
					var all []changed
					for _, d := range batch {
						all = append(all, d.Event)
					}
					return note("changed", all)
				}),
				events.OnBatch(func(_ context.Context, _ pgx.Tx, batch []events.Delivery[removed]) error {
					var all []changed
					for _, d := range batch {
						all = append(all, d.Event.changed)
					}
					return note("removed", all)
				}),
			}
			var messages []*message.Message
			for _, text := range test.batch {
				var topic string
				var c changed
				if _, err := fmt.Sscan(text, &topic, &c.ID, &c.Version); err != nil {
					t.Fatal(err)
				}
				var ev events.Event = c
				if topic == "removed" {
					ev = removed{c}
				}
				messages = append(messages, messageOf(t, ev, nil))
			}
			acknowledged, _ := s.batch(t, handlers, messages...)
			mustBeAcknowledged(t, acknowledged)
			if diff := cmp.Diff(test.want, calls); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A failed batch is handled one by one, and what its handlers had published and queued is neither
// there twice nor left over.
func TestABatchThatFailsIsSplit(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(context.Context, pgx.Tx, []events.Delivery[happened]) error{
		"the handler fails": insertAll,
		"a queued statement fails": func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
			for _, d := range batch {
				if d.Event.Thing == "poison" {
					postgres.QueueSQL(tx, "SELECT 1 / length($1::text) -- it is broken", "")
				} else if err := insertAll(ctx, tx, []events.Delivery[happened]{d}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.cfg.MaxAttempts = 1
			answers := events.NewOutbox(s.subscriber, s.bus, s.cfg, s.log)
			publishing := events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []events.Delivery[happened]) error {
				for _, d := range batch {
					if err := answers.PublishTx(events.WithCause(ctx, d.Cause), tx, answered{d.Event}); err != nil {
						return err
					}
				}
				return handler(ctx, tx, batch)
			})
			var messages []*message.Message
			for _, thing := range []string{"1", "2", "poison", "3", "4"} {
				messages = append(messages, messageOf(t, happened{thing}, nil))
			}
			acknowledged, _ := s.batch(t, []events.Handler{publishing}, messages...)
			mustBeAcknowledged(t, acknowledged)
			expect(t, s.subscriber, 4, "SELECT count(*) FROM effects WHERE times = 1")
			expect(t, s.subscriber, 4, "SELECT count(*) FROM outbox WHERE key <> 'poison'")
			expect(t, s.subscriber, 4, "SELECT count(*) FROM outbox")
			expect(t, s.subscriber, 1, `SELECT count(*) FROM failed
				WHERE dead_at IS NOT NULL AND key = 'poison' AND reason LIKE '%it is broken%'`)
		})
	}
}
