package events_test

import (
	"testing"
	"time"

	"example.com/shop/platform/events"
)

func TestReplayIsHarmless(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	s.publish(t.Context(), t, "one", "two")
	eventually(t, s.teller, 0, drained)
	if n, err := events.Replay(t.Context(), s.teller, time.Now().Add(-time.Minute)); err != nil || n != 2 {
		t.Fatalf("replay: %d, %v", n, err)
	}
	eventually(t, s.teller, 0, drained)
	eventually(t, s.listener, 2, "SELECT count(*) FROM effects WHERE times = 1")
}

func TestOnlyWhatIsOldAndDoneIsPruned(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, err := s.teller.Exec(t.Context(), `
		INSERT INTO outbox (id, topic, key, payload, headers, published_at)
		SELECT gen_random_uuid(), 'nobody.listens.v1', '', '{}', '{}', now() - age FROM unnest(ARRAY[interval '2h', '1min']) AS age`)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.listener.Exec(t.Context(), `
		INSERT INTO inbox (event_id, topic, handled_at)
		SELECT gen_random_uuid(), 't', now() - age FROM unnest(ARRAY[interval '3h', '90min']) AS age`)
	if err != nil {
		t.Fatal(err)
	}
	s.tell(t)
	s.listen(t, count)
	eventually(t, s.teller, 1, "SELECT count(*) FROM outbox")
	eventually(t, s.listener, 1, "SELECT count(*) FROM inbox")
}
