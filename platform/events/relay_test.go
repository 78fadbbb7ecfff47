package events_test

import (
	"testing"
)

// A row with an old id, from a long transaction or another machine's clock, lies below what a woken relay looks at.
func TestTheRelayFindsRowsThatCameLate(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.listen(t, count)
	s.tell(t)
	s.publish(t.Context(), t, "fresh")
	eventually(t, s.teller, 0, drained)
	_, err := s.teller.Exec(t.Context(), `INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES ('00000000-0000-7000-8000-000000000001', 'teller.happened.v1', 'late', '{"thing":"late"}', '{}')`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects WHERE thing = 'late'")
}
