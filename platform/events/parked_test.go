package events_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// canary is a subscriber with two sides, old and new. Events arrive at those that are not deaf.
type canary struct {
	*system
	fail map[string]bool // things that fail
}

func newCanary(t *testing.T, percent int) *canary {
	t.Helper()
	c := &canary{system: newSystem(t), fail: map[string]bool{}}
	c.weigh(percent)
	return c
}

// weigh gives the new side so many percent.
func (c *canary) weigh(percent int) {
	c.t.Helper()
	err := share.Set(c.t.Context(), c.Subscriber.Pool(),
		share.Weight{Side: "old", Weight: 100 - percent}, share.Weight{Side: "new", Weight: percent})
	if err != nil {
		c.t.Fatal(err)
	}
}

// side runs a consumer that writes its side into the effects.
func (c *canary) side(name string, deaf bool) {
	c.t.Helper()
	c.sideOf(name, deaf, events.On(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if c.fail[h.Thing] {
			return errors.New("it is broken")
		}
		return eventtest.Count(ctx, tx, happened{Thing: name + " " + h.Thing})
	}))
}

func (c *canary) sideOf(name string, deaf bool, handler events.Handler) {
	c.t.Helper()
	db := c.Database.Module(c.t, c.Subscriber.Module)
	var err error
	if db.Side, err = share.Join(c.t.Context(), db, db.Module, name); err != nil {
		c.t.Fatal(err)
	}
	var bus message.Subscriber = c.bus
	if deaf {
		quiet := events.NewMemoryBus()
		c.t.Cleanup(func() { _ = quiet.Close() })
		bus = quiet
	}
	consumer := events.NewConsumer(db, bus, []events.Handler{handler}, c.Config, c.Log)
	if err := db.Side.Announce(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	probe := postgres.NewProbe(db)
	c.t.Cleanup(probe.Close)
	pgtest.Run(c.t, func(ctx context.Context) error { return db.Side.Run(ctx, probe.Ask, c.Log) })
	c.Consume(consumer)
}

const effectsOf = "SELECT count(*) FROM effects WHERE thing LIKE '%s %%'"

// All events arrive at the old side. Those of the new one are parked, and it takes them; each is
// handled once. So it is with one that fails: its side retries it.
func TestASideHandlesItsShareOfEvents(t *testing.T) {
	t.Parallel()
	c := newCanary(t, 50)
	c.fail["200"], c.fail["199"] = true, true
	c.side("old", false)
	c.side("new", true)
	c.runOutbox()
	c.publish(eventtest.Things(1, 200)...)
	c.Applied(198)
	c.Eventually(c.Subscriber, 2, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL")
	c.Eventually(c.Subscriber, 0, "SELECT count(*) FROM parked")
	for _, side := range []string{"old", "new"} {
		if n := pgtest.Count(t, c.Subscriber, fmt.Sprintf(effectsOf, side)); n < 70 || n > 130 {
			t.Errorf("%s handled %d of 198 events, want about half", side, n)
		}
		c.Expect(c.Subscriber, 0, `SELECT count(*) FROM effects, bucket_of(split_part(thing, ' ', 2)) AS bucket
			WHERE thing LIKE '`+side+` %' AND NOT bucket <@ share_of('`+side+`', '`+eventtest.Topic+`')`)
	}
	c.Eventually(c.Subscriber, 198, "SELECT sum(events) FROM sides")
}

// At 0 % the new side handles nothing, whatever arrives there. So it is after a rollback.
func TestASideWithoutWeightHandlesNothing(t *testing.T) {
	t.Parallel()
	c := newCanary(t, 0)
	c.side("new", false)
	c.side("old", false)
	c.runOutbox()
	c.publish(eventtest.Things(1, 50)...)
	c.Applied(50)
	c.weigh(100)
	c.publish(eventtest.Things(51, 60)...)
	c.Applied(60)
	c.weigh(0)
	c.publish(eventtest.Things(61, 100)...)
	c.Applied(100)
	c.Expect(c.Subscriber, 10, fmt.Sprintf(effectsOf, "new"))
	c.Eventually(c.Subscriber, 0, "SELECT count(*) FROM parked")
}

// What only one side knows is its own, so that a release with a new topic may run beside the last.
func TestATopicThatOneSideKnowsIsItsOwn(t *testing.T) {
	t.Parallel()
	c := newCanary(t, 50)
	c.side("new", false)
	c.sideOf("old", false, events.On(func(context.Context, pgx.Tx, other) error { return nil }))
	c.runOutbox()
	c.publish(eventtest.Things(1, 100)...)
	c.Applied(100)
	c.Expect(c.Subscriber, 100, fmt.Sprintf(effectsOf, "new"))
	c.Expect(c.Subscriber, 0, "SELECT count(*) FROM failed")
}

// The bus in memory keeps nothing for a side that is idle, so that its events are parked.
func TestAnIdleSideLosesNoEventInMemory(t *testing.T) {
	t.Parallel()
	c := newCanary(t, 100)
	c.side("old", false)
	c.runOutbox()
	c.publish("1", "2")
	c.Eventually(c.Subscriber, 2, "SELECT count(*) FROM parked")
	c.Drained()
	c.weigh(0)
	c.Applied(2)
}

// An event that is parked is not deleted when it has become another side's before it was handled.
func TestAParkedEventStaysUntilItIsHandled(t *testing.T) {
	t.Parallel()
	c := newCanary(t, 100)
	c.side("new", true)
	admin := c.Database.Admin(t)
	err := pgx.BeginFunc(t.Context(), c.Subscriber.Pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), share.TakeTurn); err != nil {
			return err
		}
		c.exec(c.Subscriber, `INSERT INTO parked (event_id, topic, key, payload, headers) VALUES
			('0197f000-0000-7000-8000-000000000001', $1::text, 'a', '{"thing": "a"}', jsonb_build_object('type', $1::text, 'subject', 'a'))`,
			eventtest.Topic)
		pgtest.Until(t, "the new side waits for its turn", func() bool {
			return pgtest.Count(t, admin, "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") > 0
		})
		_, err := tx.Exec(t.Context(), `UPDATE sides SET weight = 100, buckets = '[0,10000)' WHERE side = 'old'`)
		if err == nil {
			_, err = tx.Exec(t.Context(), `UPDATE sides SET weight = 0, buckets = 'empty' WHERE side = 'new'`)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.side("old", true)
	c.Eventually(c.Subscriber, 1, fmt.Sprintf(effectsOf, "old"))
	c.Eventually(c.Subscriber, 0, "SELECT count(*) FROM parked")
	c.Expect(c.Subscriber, 0, fmt.Sprintf(effectsOf, "new"))
}
