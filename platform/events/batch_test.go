package events_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// insertAll is a batch handler of one statement, which fails for one thing.
func insertAll(_ context.Context, tx pgx.Tx, batch []delivery) error {
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

// A batch handler gets all events in one call, in order. Each has its cause, which the events that
// are published because of it keep, also from a handler of single events.
func TestABatchIsOneCallAndHasEveryCause(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	answers := events.NewOutbox(s.Subscriber, s.bus, s.Config, s.Log)
	var calls [][]string
	deliver, _ := s.gated(
		events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
			var things []string
			for _, d := range batch {
				things = append(things, d.Event.Thing)
				if err := answers.PublishTx(events.WithCause(ctx, d.Cause), tx, answered{d.Event}); err != nil {
					return err
				}
			}
			calls = append(calls, things)
			return nil
		}),
		events.On(func(ctx context.Context, tx pgx.Tx, o other) error {
			return answers.PublishTx(ctx, tx, answered(o))
		}))
	next := 0
	message := func(ev func(happened) events.Event) *message.Message {
		next++
		return messageOf(ev(happened{Thing: fmt.Sprint(next)}), "", events.Cause{
			"correlationid": fmt.Sprint("request-", next), "actor": fmt.Sprint("customer:", next),
			"traceparent": fmt.Sprintf("00-%032x-%016x-01", next, next),
		})
	}
	batched := func(h happened) events.Event { return h }
	single := func(h happened) events.Event { return other{h} }
	deliver(message(batched), message(single), message(batched), message(single))
	deliver(message(single))
	if diff := cmp.Diff([][]string{{"1", "3"}}, calls); diff != "" {
		t.Errorf("calls: %s", diff)
	}
	s.Expect(s.Subscriber, 5, `SELECT count(*) FROM outbox WHERE topic = 'subscriber.answered.v1'
		AND headers->>'correlationid' = 'request-' || key AND headers->>'actor' = 'customer:' || key
		AND headers->>'traceparent' LIKE '00-' || lpad(to_hex(key::int), 32, '0') || '-%'`)
}

// Each topic's handler is called as few times as the order of each aggregate's events allows.
func TestTheOrderOfAnAggregateIsKeptInABatch(t *testing.T) {
	t.Parallel()
	for batch, want := range map[string]string{
		"changed a, changed b, removed a, removed b": "changed a, changed b; removed a, removed b",
		"changed a, removed a, changed b, changed a": "changed a, changed b; removed a; changed a",
		"changed a, removed b, removed a, changed b": "changed a; removed b, removed a; changed b",
	} {
		var messages []*message.Message
		for text := range strings.SplitSeq(batch, ", ") {
			m := message.NewMessage(text, nil)
			m.Metadata["type"], m.Metadata["subject"], _ = strings.Cut(text, " ")
			messages = append(messages, m)
		}
		var calls []string
		for _, group := range events.ByTopic(messages) {
			var call []string
			for _, m := range group {
				call = append(call, m.UUID)
			}
			calls = append(calls, strings.Join(call, ", "))
		}
		if got := strings.Join(calls, "; "); got != want {
			t.Errorf("%s: %s, want %s", batch, got, want)
		}
	}
}

// A failed batch is handled one by one, and what its handlers had published and queued is neither
// there twice nor left over.
func TestABatchThatFailsIsSplit(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(context.Context, pgx.Tx, []delivery) error{
		"the handler fails": insertAll,
		"a queued statement fails": func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
			for _, d := range batch {
				if d.Event.Thing == "poison" {
					postgres.QueueSQL(tx, "SELECT 1 / length($1::text) -- it is broken", "")
				} else if err := insertAll(ctx, tx, []delivery{d}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t)
			s.Config.MaxAttempts = 1
			answers := events.NewOutbox(s.Subscriber, s.bus, s.Config, s.Log)
			deliver, _ := s.gated(events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
				for _, d := range batch {
					if err := answers.PublishTx(ctx, tx, answered{d.Event}); err != nil {
						return err
					}
				}
				return handle(ctx, tx, batch)
			}))
			var messages []*message.Message
			for _, thing := range []string{"1", "2", "poison", "3", "4"} {
				messages = append(messages, messageOf(happened{Thing: thing}, "", nil))
			}
			deliver(messages...)
			s.Applied(4)
			s.Expect(s.Subscriber, 4, "SELECT count(*) FROM outbox WHERE key <> 'poison'")
			s.Expect(s.Subscriber, 4, "SELECT count(*) FROM outbox")
			s.Expect(s.Subscriber, 1, `SELECT count(*) FROM failed
				WHERE dead_at IS NOT NULL AND key = 'poison' AND reason LIKE '%it is broken%'`)
		})
	}
}

// An event is applied once, however its id is written and however often it is in a batch, and the
// others are still one call. A message without an id is dropped.
func TestDuplicatesInBatches(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	var calls []int
	deliver, _ := s.gated(events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
		calls = append(calls, len(batch))
		return insertAll(ctx, tx, batch)
	}))
	spellings := func(id string) []string {
		return []string{id, strings.ToUpper(id), "urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", "")}
	}
	var first, second []*message.Message
	for i := range spellings("") { // handled in one spelling, then delivered in all
		id := uuid.NewString()
		first = append(first, messageOf(happened{Thing: fmt.Sprint(i)}, spellings(id)[i], nil))
		for _, spelling := range spellings(id) {
			second = append(second, messageOf(happened{Thing: fmt.Sprint(i)}, spelling, nil))
		}
	}
	for _, spelling := range spellings(uuid.NewString()) { // only in the second batch
		second = append(second, messageOf(happened{Thing: "twice"}, spelling, nil))
	}
	deliver(first...)
	deliver(append(second, messageOf(happened{Thing: "fresh"}, "", nil))...)
	if err := s.bus.Publish(happened{}.Topic(), messageOf(happened{Thing: "no"}, "hello", nil)); err != nil {
		t.Error(err)
	}
	if calls[0] != 5 || calls[len(calls)-1] != 2 {
		t.Errorf("the calls had %d events, want 5, perhaps with duplicates, and 2", calls)
	}
	s.Applied(7)
	s.Expect(s.Subscriber, 7+2, "SELECT count(*) FROM inbox") // and the gates
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM failed")
}
