package orders

import (
	"net/http"
	"strings"
	"testing"
)

// A statement that is only queued returns no error. It fails with the commit, by name, and the
// placement with it, whole.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for statement, plant := range map[string]string{
		"InsertOrders": "orders.orders ADD CONSTRAINT planted CHECK (customer_id <> 'eve')",
		"InsertLines":  "orders.lines ADD CONSTRAINT planted CHECK (quantity <> 13)",
		"StoreAnswers": "orders.idempotency_keys ADD CONSTRAINT planted CHECK (key <> 'bad')",
		"Publish":      "orders.outbox ADD CONSTRAINT planted CHECK (payload ->> 'customer_id' <> 'eve')",
	} {
		s.Plant("ALTER TABLE " + plant)
		status, _, answer := s.call("eve", "POST", "", `{"email":"eve@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea","quantity":13}]}`, "bad")
		if status != http.StatusInternalServerError {
			t.Errorf("%s: status %d, %v", statement, status, answer)
		}
		if log := s.Logged(); !strings.Contains(log, "-- name: "+statement) {
			t.Errorf("the log does not name %s: %s", statement, log)
		}
		if n := s.Count("SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM lines) + (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM outbox)"); n != 0 {
			t.Errorf("%s: %d rows of it are there", statement, n)
		}
		table, _, _ := strings.Cut(plant, " ADD ")
		s.Plant("ALTER TABLE " + table + " DROP CONSTRAINT planted")
	}
}
