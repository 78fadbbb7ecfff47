package events_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
)

const (
	putFailed = `INSERT INTO failed (event_id, topic, key, payload, headers, attempts, reason, next_at, dead_at)
		VALUES ($1, 'other.happened.v1', $2, '', '{"actor": "customer:ada"}', 1, '', now() + interval '1 hour', CASE WHEN $3 THEN now() END)`
	putJob = `INSERT INTO jobs (id, kind, key, args, cause, tries, due_at, dead_at)
		VALUES ($1, 'mail', $2, '{}', '{"actor": "customer:ada"}', 1, now(), CASE WHEN $3 THEN now() END)`
	ofOne = "SELECT count(*) FROM outbox WHERE key = 'one'"
)

// erase erases the aggregate one.
func (s *system) erase() error {
	return s.Publisher.InTx(s.t.Context(), func(tx pgx.Tx) error {
		return events.EraseTx(s.t.Context(), tx, []string{"one"})
	})
}

// What is left of an aggregate is deleted once nothing of it is unfinished. Another's stays.
func TestAnAggregateIsErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	stop := s.runOutbox()
	s.publish("one", "two")
	s.Drained()
	stop()
	for what, unfinished := range map[string]struct {
		put, end string
		dead     bool
	}{
		"an event that is retried": {putFailed, "DELETE FROM failed", false},
		"a dead letter":            {putFailed, "DELETE FROM failed", true},
		"a job that is not done":   {putJob, "DELETE FROM jobs", false},
		"a dead job":               {putJob, "DELETE FROM jobs", true},
	} {
		s.exec(s.Publisher, unfinished.put, uuid.New(), "one", unfinished.dead)
		if err := s.erase(); !errors.Is(err, events.ErrUnfinished) {
			t.Errorf("with %s: %v", what, err)
		}
		s.Expect(s.Publisher, 1, ofOne)
		s.exec(s.Publisher, unfinished.end)
	}
	for range 2 {
		if err := s.erase(); err != nil {
			t.Error(err)
		}
	}
	s.Expect(s.Publisher, 0, ofOne)
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox WHERE key = 'two'")
	if n, err := events.Replayable(t.Context(), s.Publisher.Pool(), time.Now().Add(-time.Hour)); n != 1 || err != nil {
		t.Errorf("%d events can be replayed (%v), want that of two", n, err)
	}
}

// An event that is not published yet is never erased, also if it is replayed at the same moment.
func TestAPendingEventIsNotErased(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.publish("one")
	if err := s.erase(); !errors.Is(err, events.ErrUnfinished) {
		t.Errorf("before it is published: %v", err)
	}
	s.exec(s.Publisher, "DELETE FROM outbox_pending") // it is published

	replay, err := s.Publisher.Pool().Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it does nothing after the commit
	s.exec(replay, "UPDATE outbox SET replays = replays + 1")
	s.exec(replay, "INSERT INTO outbox_pending (event_id, topic) SELECT id, topic FROM outbox")
	erased := make(chan error, 1)
	go func() { erased <- s.erase() }()
	pgtest.Until(t, "it waits for the replay", func() bool {
		return pgtest.Count(t, s.Publisher, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) == 1
	})
	if err := replay.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-erased; !errors.Is(err, events.ErrUnfinished) {
		t.Errorf("while it is replayed: %v", err)
	}
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox JOIN outbox_pending ON event_id = id")
}
