package payments

import (
	"testing"

	"github.com/google/uuid"

	"example.com/shop/platform/events"
)

// A statement that is only queued fails with what waits behind it, by name: the event is a dead
// letter, or the job is tried again, and no other fails with it.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	for statement, test := range map[string]struct {
		plant, reason string
		bad           func(order string) events.Event
	}{
		"InsertTombstones": {"payments ADD CHECK (status <> 'tombstone')", "failed",
			func(order string) events.Event { return cancelOf(order) }},
		"MovePayments": {"payments ADD CHECK (status <> 'declined')", "jobs",
			func(order string) events.Event { return due(order, "tok_declined") }},
		"EnqueueJobs": {"jobs ADD CHECK (args ->> 'token' <> 'tok_declined')", "failed",
			func(order string) events.Event { return due(order, "tok_declined") }},
		"Publish": {"outbox ADD CHECK (topic <> 'payments.declined.v1')", "jobs",
			func(order string) events.Event { return due(order, "tok_declined") }},
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.Plant("ALTER TABLE payments." + test.plant)
			s.Work(s.module)
			s.Publish(due(uuid.NewString(), "tok_ok"), test.bad(uuid.NewString()), due(uuid.NewString(), "tok_ok"))
			s.Eventually("the others are captured", "SELECT count(*) = 2 FROM payments WHERE status = 'captured'")
			s.Eventually("it has failed, for the statement", "SELECT EXISTS (SELECT FROM "+test.reason+" WHERE reason LIKE $1)",
				"%-- name: "+statement+"%")
		})
	}
}
