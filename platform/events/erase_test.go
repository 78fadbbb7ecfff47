package events_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

const (
	ofOne     = "SELECT count(*) FROM outbox WHERE key = 'one'"
	saying    = "SELECT count(*) FROM outbox WHERE headers ->> 'actor' = 'customer:ada'"
	ended     = "SELECT count(*) FROM erased WHERE check_at = 'infinity'"
	laterThan = "UPDATE erased SET check_at = now() - interval '1 second', at = now() - interval "
)

// publishBy commits an event for each thing that ada has caused.
func (s *system) publishBy(things ...string) {
	s.t.Helper()
	s.Commit(origin.With(s.t.Context(), origin.Request{Actor: "customer:ada"}), s.outbox, things...)
}

// eraseOne erases the aggregate one, twice.
func (s *system) eraseOne() {
	s.t.Helper()
	for range 2 {
		err := s.Publisher.InTx(s.t.Context(), func(tx pgx.Tx) error {
			events.EraseTx(tx, []string{"one"})
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// The events of an erased aggregate are deleted when they are published, and not before; later ones
// do not say who caused them. Another aggregate's stay.
func TestAnAggregateIsErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.publishBy("one", "two") // and nothing publishes them yet
	s.eraseOne()
	s.exec(s.Publisher, laterThan+"'6 minutes'")
	s.bus.refuse(eventtest.Topic)
	stop := s.runOutbox() // which prunes when it starts
	s.Eventually(s.Publisher, 1, "SELECT count(*) FROM erased WHERE check_at > now()")
	stop()
	s.Expect(s.Publisher, 1, ofOne)
	s.Expect(s.Publisher, 0, ended)

	s.bus.refuse("")
	s.runOutbox()
	s.Drained()
	for range 2 { // it looks again until it finds none
		s.exec(s.Publisher, laterThan+"'6 minutes'")
		s.runOutbox()
		s.Eventually(s.Publisher, 1, "SELECT count(*) FROM erased WHERE check_at > now()")
		s.Expect(s.Publisher, 0, ofOne)
	}
	s.Expect(s.Publisher, 1, ended)
	s.publishBy("one", "two")
	s.Expect(s.Publisher, 1, ofOne+" AND headers ? 'correlationid' AND NOT headers ? 'actor'")
	s.Expect(s.Publisher, 2, saying+" AND key = 'two'")
	s.Expect(s.Publisher, 2, saying)
}

// An event whose transaction began before the erasure may commit after it, and not know of it. The
// aggregate is looked at again when no such transaction can be left.
func TestAnErasureLooksAgain(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.eraseOne()
	s.runOutbox()
	s.Eventually(s.Publisher, 1, "SELECT count(*) FROM erased WHERE check_at > now()")
	s.Expect(s.Publisher, 0, ended)
	s.exec(s.Publisher, `INSERT INTO outbox (id, topic, key, payload, headers) VALUES (gen_random_uuid(), 'a.b.v1', 'one', '{}', '{"actor": "customer:ada"}')`)
	s.exec(s.Publisher, laterThan+"'2 minutes'")
	s.runOutbox()
	s.Eventually(s.Publisher, 0, ofOne)
	s.Expect(s.Publisher, 0, ended)
}

// Once no event can be delivered that is as old as the erasure, nothing is kept of the aggregate.
func TestAnErasedAggregateIsForgotten(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.eraseOne()
	s.exec(s.Publisher, `INSERT INTO jobs (id, kind, key, args, cause, tries, due_at, dead_at) VALUES (gen_random_uuid(), 'mail', 'one', '{}', '{}', 1, now(), now())`)
	for _, age := range []string{"179", "181"} { // DeadRetention is three hours, and a dead job is kept until it is redriven
		s.exec(s.Publisher, laterThan+"'"+age+" minutes'")
		s.runOutbox()
		s.Eventually(s.Publisher, 1, ended)
	}
	s.exec(s.Publisher, "DELETE FROM jobs")
	s.runOutbox()
	s.Eventually(s.Publisher, 0, "SELECT count(*) FROM erased")
}

// An event that is replayed while it would be deleted is published once more before it is.
func TestAnEventThatIsReplayedIsNotErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.publishBy("one")
	s.exec(s.Publisher, "DELETE FROM outbox_pending") // it is published
	s.eraseOne()
	s.exec(s.Publisher, laterThan+"'6 minutes'")
	replay, err := s.Publisher.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it does nothing after the commit
	s.exec(replay, "UPDATE outbox SET replays = replays + 1")
	s.exec(replay, "INSERT INTO outbox_pending (event_id, topic, replays) SELECT id, topic, replays FROM outbox")
	s.bus.refuse(eventtest.Topic)
	s.runOutbox()
	pgtest.Until(t, "it waits for the replay", func() bool {
		return pgtest.Count(t, s.Publisher, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	if err := replay.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually(s.Publisher, 1, "SELECT count(*) FROM erased WHERE check_at > now()")
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox JOIN outbox_pending ON event_id = id")
}
