package events_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/events"
)

// idMade returns SQL for an id that was made at the time that at, which is SQL, says.
func idMade(at string) string {
	return "(lpad(to_hex((extract(epoch FROM " + at + ") * 1000)::bigint), 12, '0')" +
		" || right(md5(random()::text), 20))::uuid"
}

// A subscriber added in a rolling restart has missed what processes without it published. For the
// others a replay is harmless.
func TestANewSubscriberGetsAReplay(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.runOutbox()
	s.publish("one", "two")
	s.Drained()
	s.subscribe(eventtest.Count)
	for range 2 {
		s.replay(2)
		s.Drained()
		s.Applied(2)
	}
}

// The outbox refuses a statement that changes more than a batch, as statement_timeout does with
// very many rows. Replayed events are published immediately, by a relay faster than the replay.
func TestAReplayGoesInBatchesAndEnds(t *testing.T) {
	t.Parallel()
	s := newSystemOn(t, fstest.MapFS{"0001_outbox.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
-- +goose StatementBegin
CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF (SELECT count(*) FROM changed) > 1000 THEN RAISE 'too much for one statement'; END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION publish_at_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
-- +goose StatementEnd
CREATE TRIGGER refuse_many AFTER UPDATE ON outbox
	REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION refuse_many();
CREATE TRIGGER publish_at_once BEFORE INSERT ON outbox_pending FOR EACH ROW EXECUTE FUNCTION publish_at_once();
`)}})
	s.exec(s.Publisher, `INSERT INTO outbox (id, topic, key, payload, headers)
		SELECT `+idMade(`now()`)+`, 'not.subscribed.v1', '', '{}', '{}' FROM generate_series(1, 2500)`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := events.Replay(ctx, s.Publisher.Pool(), time.Now().Add(-time.Minute), func(int64) {})
	if err != nil || n != 2500 {
		t.Fatalf("replay: %d, %v", n, err)
	}
	s.Expect(s.Publisher, 2500, "SELECT count(*) FROM outbox WHERE replays = 1")
}

func TestOnlyWhatIsOldAndDoneIsPruned(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.bus.refuse(other{}.Topic())
	// A replay does not renew the age, and what is not published yet stays at any age.
	s.exec(s.Publisher, `INSERT INTO outbox (id, topic, key, payload, headers, created_at, replays)
		SELECT `+idMade(`now() - age`)+`, topic, key, '{}', '{}', now() - age, replays FROM (VALUES
			('not.subscribed.v1', 'old', interval '2h', 0),
			('not.subscribed.v1', 'old, replayed', '2h', 1),
			('not.subscribed.v1', 'young', '1min', 0),
			('publisher.other.v1', 'old, unpublished', '2h', 0)) AS v (topic, key, age, replays)`)
	s.exec(s.Publisher, "INSERT INTO outbox_pending (event_id, topic) SELECT id, topic FROM outbox WHERE key = 'old, unpublished'")
	s.exec(s.Subscriber, `INSERT INTO inbox (event_id, topic, handled_at)
		SELECT `+idMade(`now() - age`)+`, 't', now() - age FROM unnest(ARRAY[interval '3h', '90min']) AS age`)
	s.exec(s.Subscriber, `
		INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, failed_at, next_at, dead_at)
		SELECT `+idMade(`now() - interval '9h'`)+`, 't', '', '{}', 3, kind, now() - interval '9h',
			now() + next, now() - dead FROM (VALUES
			('long dead', interval '0h', interval '4h'),
			('just dead', '0h', '2h'),
			('old, still tried', '1h', NULL)) AS v (kind, next, dead)`)
	stop := s.runOutbox()
	s.Eventually(s.Publisher, 1, "SELECT count(*) FROM outbox_pending")
	stop()
	s.runOutbox() // which prunes when it starts, and then every minute
	s.subscribe(eventtest.Count)
	s.Eventually(s.Publisher, 2, "SELECT count(*) FROM outbox")
	s.Expect(s.Publisher, 2, "SELECT count(*) FROM outbox WHERE key IN ('young', 'old, unpublished')")
	s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM inbox")
	s.Eventually(s.Subscriber, 2, "SELECT count(*) FROM failed")
	s.Expect(s.Subscriber, 2, "SELECT count(*) FROM failed WHERE reason IN ('just dead', 'old, still tried')")
}

// An event that has expired is delivered, and then kept nowhere: it is no dead letter, and is not
// replayed, even before it is pruned. One that has yet to expire is kept.
func TestWhatHasExpiredIsNotKept(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.CommitAll(t.Context(), s.outbox,
		events.Until(happened{Thing: "gone"}, time.Now().Add(-time.Second)),
		events.Until(happened{Thing: "good"}, time.Now().Add(time.Hour)),
		happened{Thing: "kept"})
	s.exec(s.Subscriber, `INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at, dead_at)
		SELECT gen_random_uuid(), 't', '', jsonb_build_object('expirytime', expires), 1, reason, now() + interval '1h', dead FROM (VALUES
			('2026-01-01T00:00:00Z', 'expired', now()), ('2126-01-01T00:00:00Z', 'good', now()), ('soon', 'no time', now()),
			(NULL, 'for long', now()), ('2026-01-01T00:00:00Z', 'still tried', NULL)) AS v (expires, reason, dead)`)
	s.subscribe(eventtest.Count)
	stop := s.runOutbox()
	s.Drained()
	stop()
	s.Applied(3)
	if n, err := events.Replayable(t.Context(), s.Publisher.Pool(), time.Now().Add(-time.Minute)); err != nil || n != 2 {
		t.Errorf("%d can be replayed: %v", n, err)
	}
	s.runOutbox() // which prunes when it starts
	s.Eventually(s.Publisher, 2, "SELECT count(*) FROM outbox")
	s.Expect(s.Publisher, 2, "SELECT count(*) FROM outbox WHERE payload::text NOT LIKE '%gone%'")
	s.replay(2)
	s.Eventually(s.Subscriber, 4, "SELECT count(*) FROM failed")
	s.Expect(s.Subscriber, 4, "SELECT count(*) FROM failed WHERE reason <> 'expired'")
}
