package payments

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

// attempt is one as v0.1.0 leaves it, with its payment.
type attempt struct {
	kind, status, state, token, reference string
	tries                                 int
	due, lease, cancelled                 time.Duration // before now; 0 is never
}

func (s *shop) leave(a attempt) (order, key uuid.UUID) {
	s.t.Helper()
	order, key = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	before := func(d time.Duration) *time.Time {
		at := s.now().Add(-d)
		if d == 0 {
			return nil
		}
		return &at
	}
	s.Exec(`INSERT INTO payments (order_id, id, status, amount, currency, token, reference, cancelled_at, created_at, updated_at)
		VALUES ($1, $2, $3, 2598, 'EUR', $4, $5, $6, now(), now())`, order, uuid.New(), a.status, a.token, a.reference, before(a.cancelled))
	s.Exec(`INSERT INTO attempts (id, order_id, kind, state, tries, next_at, lease_until, cause, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, '{"actor": "system"}', now(), now())`,
		key, order, a.kind, a.state, a.tries, before(a.due), before(a.lease))
	return order, key
}

// Attempts that v0.1.0 has abandoned become jobs with the same keys; the others are left to it.
func TestAdopt(t *testing.T) {
	t.Parallel()
	s := setup(t)
	amount, late := money{2598, "EUR"}, patience+time.Second
	unclaimed, unclaimedKey := s.leave(attempt{kind: "capture", status: "pending", state: "pending", token: "tok_ok", due: late})
	called, calledKey := s.leave(attempt{kind: "capture", status: "pending", state: "pending", token: "tok_ok", due: time.Hour, tries: 1, lease: late})
	if _, err := s.module.provider.Capture(t.Context(), calledKey, "tok_ok", amount); err != nil {
		t.Fatal(err)
	}
	cancelledMeanwhile, _ := s.leave(attempt{kind: "capture", status: "cancelling", state: "pending", due: late, cancelled: time.Hour})
	captured, err := s.module.provider.Capture(t.Context(), uuid.New(), "tok_ok", amount)
	if err != nil {
		t.Fatal(err)
	}
	owed, owedKey := s.leave(attempt{kind: "refund", status: "refunding", state: "pending", reference: captured.reference, due: late, tries: 2})
	s.leave(attempt{kind: "capture", status: "captured", state: "done", due: time.Hour, tries: 1})
	s.leave(attempt{kind: "capture", status: "pending", state: "pending", token: "tok_ok", due: patience / 2})
	s.leave(attempt{kind: "capture", status: "pending", state: "pending", token: "tok_ok", due: time.Hour, tries: 1, lease: patience / 2})

	s.Work(s.process(func(operation, token string, call func() (answer, error)) (answer, error) {
		if operation == "capture" && token == "" {
			t.Error("the capture of a cancelled order was begun")
		}
		return call()
	}))
	s.Eventually("four were adopted", "SELECT count(*) = 3 FROM attempts")
	s.settled()
	for order, want := range map[uuid.UUID]string{
		unclaimed: "captured", called: "captured", cancelledMeanwhile: "cancelled", owed: "refunded",
	} {
		if !s.Is("SELECT status = $2 FROM payments WHERE order_id = $1", order, want) {
			t.Errorf("the payment of %s is not %s", order, want)
		}
	}
	did := map[string]int{}
	for _, e := range s.sim.Ledger("") {
		did[e.Key]++
	}
	if did[unclaimedKey.String()] != 1 || did[calledKey.String()] != 1 || did[owedKey.String()] != 1 || len(did) != 4 {
		t.Errorf("the provider did %v", did)
	}
	if n := s.Count("SELECT count(*) FROM payments WHERE token <> ''"); n != 2 {
		t.Errorf("%d payments have a token, want the two that are left", n)
	}

	s.ahead.Store(int64(time.Minute))
	s.Eventually("all were adopted", "SELECT count(*) = 0 FROM attempts WHERE state = 'pending'")
	s.settled()
	if n := s.Count("SELECT count(*) FROM payments WHERE status = 'captured'"); n != 5 {
		t.Errorf("%d payments are captured, want 5", n)
	}
}
