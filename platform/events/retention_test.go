package events_test

import (
	"context"
	"testing"
	"testing/fstest"
	"time"

	"example.com/shop/platform/events"
)

// idMade returns SQL for an id that was made at the time that at, which is SQL, says.
func idMade(at string) string {
	return "(lpad(to_hex((extract(epoch FROM " + at + ") * 1000)::bigint), 12, '0')" +
		" || right(md5(random()::text), 20))::uuid"
}

func TestReplayIsHarmless(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.subscribe(t, count)
	s.runOutbox(t)
	s.publish(t.Context(), t, "one", "two")
	eventually(t, s.publisher, 0, drained)
	s.replay(t, 2)
	eventually(t, s.publisher, 0, drained)
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
}

// The outbox refuses a statement that changes more than a batch, as statement_timeout does with
// very many rows. Replayed events are published immediately, by a relay faster than the replay.
func TestAReplayGoesInBatchesAndEnds(t *testing.T) {
	t.Parallel()
	s := newShopOn(t, fstest.MapFS{"0001_outbox.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
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
	_, err := s.publisher.Exec(t.Context(), `
		INSERT INTO outbox (id, topic, key, payload, headers, published_at)
		SELECT `+idMade(`now()`)+`, 'not.subscribed.v1', '', '{}', '{}', now() FROM generate_series(1, 2500)`)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	n, err := events.Replay(ctx, s.publisher.Pool, time.Now().Add(-time.Minute), func(int64) {})
	if err != nil || n != 2500 {
		t.Fatalf("replay: %d, %v", n, err)
	}
	expect(t, s.publisher, 2500, "SELECT count(*) FROM outbox WHERE replays = 1")
}

// A subscriber added in a rolling restart has missed what processes without it published.
func TestANewSubscriberGetsAReplay(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.runOutbox(t)
	s.publish(t.Context(), t, "one", "two")
	eventually(t, s.publisher, 0, drained)
	s.subscribe(t, count)
	s.replay(t, 2)
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM effects WHERE times = 1")
}

func TestOnlyWhatIsOldAndDoneIsPruned(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.bus.refuse(other{}.Topic())
	// A replay does not renew the age, and what is not published yet stays at any age.
	_, err := s.publisher.Exec(t.Context(), `
		INSERT INTO outbox (id, topic, key, payload, headers, created_at, published_at)
		SELECT `+idMade(`now() - age`)+`, topic, key, '{}', '{}', now() - age, now() - published FROM (VALUES
			('not.subscribed.v1', 'old', interval '2h', interval '2h'),
			('not.subscribed.v1', 'old, replayed', '2h', '0s'),
			('not.subscribed.v1', 'old, of v0.1.0', '2h', NULL), -- which sets no published_at
			('not.subscribed.v1', 'young', '1min', '1min'),
			('publisher.other.v1', 'old, unpublished', '2h', NULL)) AS v (topic, key, age, published)`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.subscriber.Exec(t.Context(), `
		INSERT INTO inbox (event_id, topic, handled_at)
		SELECT `+idMade(`now() - age`)+`, 't', now() - age FROM unnest(ARRAY[interval '3h', '90min']) AS age`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.subscriber.Exec(t.Context(), `
		INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, failed_at, next_at, dead_at)
		SELECT `+idMade(`now() - interval '9h'`)+`, 't', '', '{}', 3, kind, now() - interval '9h',
			now() + next, now() - dead FROM (VALUES
			('long dead', interval '0h', interval '4h'),
			('just dead', '0h', '2h'),
			('old, still tried', '1h', NULL)) AS v (kind, next, dead)`)
	if err != nil {
		t.Fatal(err)
	}
	stop := s.runOutbox(t)
	eventually(t, s.publisher, 1, drained)
	stop()
	s.runOutbox(t) // which prunes when it starts, and then every minute
	s.subscribe(t, count)
	eventually(t, s.publisher, 2, "SELECT count(*) FROM outbox")
	eventually(t, s.publisher, 2, "SELECT count(*) FROM outbox WHERE key IN ('young', 'old, unpublished')")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM inbox")
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM failed")
	eventually(t, s.subscriber, 2, "SELECT count(*) FROM failed WHERE reason IN ('just dead', 'old, still tried')")
}
