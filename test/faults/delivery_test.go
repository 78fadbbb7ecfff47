package faults

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// tellers are the modules with something in their outbox.
var tellers = []string{"orders", "inventory", "payments"}

// Events come late, twice, and in another order than they were told. Four of ten are held back where the relay does not see them, as if
// their transactions took that long, and are let go in any order; and of what was told, some is told again all the time.
func disturbDelivery(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, m := range tellers {
		s.exec(t, `
			CREATE FUNCTION `+m+`.hold_back() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				IF random() < 0.4 THEN
					NEW.published_at := 'infinity';
				END IF;
				RETURN NEW;
			END $$;
			CREATE TRIGGER hold_back BEFORE INSERT ON `+m+`.outbox FOR EACH ROW EXECUTE FUNCTION `+m+`.hold_back()`)
	}
	progress(0.2)
	for until := time.Now().Add(2 * outlasts); time.Now().Before(until); rest(r, 400*time.Millisecond) {
		m := tellers[r.IntN(len(tellers))]
		s.exec(t, fmt.Sprintf(letGo, m, r.IntN(40)))
		s.exec(t, fmt.Sprintf(tellAgain, m, r.IntN(40)))
	}
	for _, m := range tellers {
		s.exec(t, "DROP FUNCTION "+m+".hold_back CASCADE")
		s.exec(t, fmt.Sprintf(letGo, m, 1_000_000))
	}
}

const (
	letGo = `UPDATE %[1]s.outbox SET published_at = NULL WHERE id IN (
		SELECT id FROM %[1]s.outbox WHERE published_at = 'infinity' ORDER BY random() LIMIT %[2]d FOR UPDATE SKIP LOCKED)`
	tellAgain = `UPDATE %[1]s.outbox SET published_at = NULL, replays = replays + 1 WHERE id IN (
		SELECT id FROM %[1]s.outbox WHERE published_at < now() ORDER BY random() LIMIT %[2]d FOR UPDATE SKIP LOCKED)`
)

// An operator who knows of no reason has everything told again, twice.
func replay(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 2) {
		progress(moment)
		s.seam(t, "events", "replay", "--since", "1h")
	}
}

// Customers want to cancel what is confirmed already. They are too late.
func regret(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 3) {
		progress(moment)
		rows, err := s.admin.Query(t.Context(), "SELECT id::text, customer_id FROM orders.orders WHERE status = 'confirmed' ORDER BY id DESC LIMIT 20")
		if err != nil {
			t.Error(err)
			return
		}
		var id, customer string
		if _, err := pgx.ForEachRow(rows, []any{&id, &customer}, func() error {
			cancel(t.Context(), s.URL, s.token("customer", customer), id)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

func (s *shop) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Error(err)
	}
}
