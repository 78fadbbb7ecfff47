package events_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/postgres"
)

// oldTurn takes the turn as v0.1.0 does.
const oldTurn = "SELECT pg_advisory_xact_lock(hashtextextended('seam.consumer.subscriber', 0))"

// hold runs the statement in a transaction of another process, until the test ends.
func (s *system) hold(db *postgres.DB, statement string) {
	s.t.Helper()
	tx, err := db.Pool().Begin(s.t.Context())
	if err == nil {
		_, err = tx.Exec(s.t.Context(), statement)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
}

// Another module's role cannot keep a module from handling its events.
func TestAnotherRoleHoldsNoTurn(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.runOutbox()
	s.subscribe(eventtest.Count)
	s.hold(s.Publisher, oldTurn)
	_, err := s.Publisher.Exec(t.Context(), "SELECT FROM subscriber.turn FOR UPDATE")
	if !postgres.HasCode(err, "42501") { // insufficient_privilege
		t.Errorf("the publisher takes the subscriber's turn: %v", err)
	}
	s.publish("one")
	s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM inbox")
}

// While a process of v0.1.0 runs beside today's, it waits for today's batch, and holds up none.
func TestTheTurnIsSharedWithTheReleaseBefore(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.runOutbox()
	before := s.Database.Module(t, "subscriber")
	s.subscribe(func(ctx context.Context, tx pgx.Tx, h happened) error {
		if err := eventtest.Count(ctx, tx, h); err != nil { // with which the turn is taken
			return err
		}
		var free bool
		err := before.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock(hashtextextended('seam.consumer.subscriber', 0))").Scan(&free)
		if err != nil || free {
			t.Errorf("a process of v0.1.0 may handle a batch, too: %v, %v", free, err)
		}
		return nil
	})
	s.publish("one")
	s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM inbox")
	s.hold(before, oldTurn)
	s.publish("two")
	s.Eventually(s.Subscriber, 2, "SELECT count(*) FROM inbox")
}
