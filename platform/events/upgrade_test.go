package events_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// The SQL of v0.1.0 on the outbox, verbatim: for one release its processes may run beside today's.
const (
	publishOfV010 = "INSERT INTO outbox (id, topic, key, payload, headers) VALUES ($1, $2, $3, $4, $5)"
	readOfV010    = `SELECT id FROM outbox
		WHERE published_at IS NULL AND id >= $1 AND topic <> ALL($2)
		ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`
	markOfV010   = "UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY($1)"
	replayOfV010 = `UPDATE outbox SET published_at = NULL, replays = replays + 1 WHERE id IN (
		SELECT id FROM outbox WHERE published_at BETWEEN $1 AND $2
		ORDER BY published_at LIMIT $3 FOR UPDATE)`
)

// publishAsV010 commits events as v0.1.0 does.
func publishAsV010(t *testing.T, db *postgres.DB, things ...string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		for _, thing := range things {
			id := uuid.Must(uuid.NewV7()).String()
			_, err := tx.Exec(t.Context(), publishOfV010,
				id, happened{}.Topic(), thing, happened{thing}, map[string]string{"id": id})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// relayAsV010 marks everything without publishing it, and returns how many they were.
func relayAsV010(t *testing.T, db *postgres.DB) (n int) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), readOfV010, "00000000-0000-0000-0000-000000000000", []string{}, 100)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		n = len(ids)
		_, err = tx.Exec(t.Context(), markOfV010, ids)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatAnOldWriterCommitsIsPublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	publishAsV010(t, s.publisher, "one", "two")
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
	eventually(t, s.publisher, 0, drained)
	// A new relay has published them, so they can be replayed.
	s.replay(t, 2)
	eventually(t, s.publisher, 0, drained)
	if n := len(s.bus.all()); n != 4 {
		t.Errorf("%d messages, want both events twice", n)
	}
}

// What an old relay has published is not published again, and it ignores what a new writer commits.
func TestAnOldRelayMarksWhatAnOldWriterCommitted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	publishAsV010(t, s.publisher, "old")
	s.publish(t.Context(), t, "new")
	expect(t, s.publisher, 2, drained)
	if n := relayAsV010(t, s.publisher); n != 1 {
		t.Errorf("it has found %d events", n)
	}
	expect(t, s.publisher, 1, "SELECT count(*) FROM outbox_pending JOIN outbox ON id = event_id WHERE key = 'new'")
	expect(t, s.publisher, 1, drained)
}

// An old replay of what either version has published is published by either version's relay.
func TestAnOldReplayIsPublished(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	publishAsV010(t, s.publisher, "old")
	relayAsV010(t, s.publisher)
	s.publish(t.Context(), t, "new")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects WHERE thing = 'new'")
	eventually(t, s.publisher, 0, drained)
	before := len(s.bus.all())
	tag, err := s.publisher.Exec(t.Context(), replayOfV010,
		time.Now().Add(-time.Minute), time.Now().Add(time.Minute), 1000)
	if err != nil || tag.RowsAffected() != 2 {
		t.Fatalf("replay: %s, %v", tag, err)
	}
	expect(t, s.publisher, 2, "SELECT count(*) FROM outbox_pending WHERE replays = 1")
	eventually(t, s.publisher, 0, drained)
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
	for _, g := range s.bus.all()[before:] {
		if g.replays != "1" {
			t.Errorf("published %v", g)
		}
	}
	if n := len(s.bus.all()) - before; n != 2 {
		t.Errorf("%d messages for two events", n)
	}
}

// An old replay of an event that a new relay is publishing stays pending.
func TestAnOldReplayOfWhatIsBeingPublishedIsNotLost(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	release := s.bus.hold(t, happened{}.Topic())
	s.publish(t.Context(), t, "thing")
	<-s.bus.asked
	if _, err := s.publisher.Exec(t.Context(), replayOfV010,
		time.Now().Add(-time.Minute), time.Now().Add(time.Minute), 1000); err != nil {
		t.Fatal(err)
	}
	release()
	eventually(t, s.publisher, 0, drained)
	if all := s.bus.all(); len(all) != 2 || all[1].replays != "1" {
		t.Errorf("published %v", all)
	}
}

// An operator may repair rows as a superuser, without the module's search_path.
func TestASuperuserMarksTheOldWay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	publishAsV010(t, s.publisher, "old")
	if _, err := s.db.Admin(t).Exec(t.Context(), "UPDATE publisher.outbox SET published_at = now()"); err != nil {
		t.Fatal(err)
	}
	expect(t, s.publisher, 0, drained)
}
