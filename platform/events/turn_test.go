package events_test

import (
	"testing"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/postgres"
)

// Another module's role cannot keep a module from handling its events.
func TestAnotherRoleHoldsNoTurn(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.runOutbox()
	s.subscribe(eventtest.Count)
	_, err := s.Publisher.Exec(t.Context(), "SELECT FROM subscriber.turn FOR UPDATE")
	if !postgres.HasCode(err, "42501") { // insufficient_privilege
		t.Errorf("the publisher takes the subscriber's turn: %v", err)
	}
	s.publish("one")
	s.Eventually(s.Subscriber, 1, "SELECT count(*) FROM inbox")
}
