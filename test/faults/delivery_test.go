package faults

import (
	"fmt"
	"math"
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
	letGo := map[string]func(){}
	for _, m := range tellers {
		letGo[m] = s.trigger(t, "BEFORE INSERT", m+".outbox", fmt.Sprintf(holdBack, r.Perm(10)[:4]))
	}
	progress(0.2)
	for until := time.Now().Add(2 * outlasts); time.Now().Before(until); rest(r, 400*time.Millisecond) {
		m := tellers[r.IntN(len(tellers))]
		s.tellAgain(t, r, m, "published_at = 'infinity'", r.IntN(40))
		s.tellAgain(t, r, m, "published_at < now()", r.IntN(40))
	}
	for _, m := range tellers {
		letGo[m]()
		s.tellAgain(t, r, m, "published_at = 'infinity'", math.MaxInt)
	}
}

// holdBack holds back the events whose number, which any byte of their id is, ends with one of four digits.
const holdBack = `
	IF strpos('%v', (get_byte(uuid_send(NEW.id), 15) %% 10)::text) > 0 THEN
		NEW.published_at := 'infinity';
	END IF;
	RETURN NEW;`

// tellAgain has the relay tell some of the events that are in such a state, or for the first time.
func (s *shop) tellAgain(t *testing.T, r *rand.Rand, module, state string, most int) {
	t.Helper()
	ids := s.shuffled(t, r, "SELECT id::text FROM "+module+".outbox WHERE "+state+" ORDER BY id")
	s.exec(t, `UPDATE `+module+`.outbox SET published_at = NULL, replays = replays + 1 WHERE id IN (
		SELECT id FROM `+module+`.outbox WHERE id = ANY ($1::uuid[]) AND `+state+` FOR UPDATE SKIP LOCKED)`, ids[:min(most, len(ids))])
}

// shuffled is the query's one column in an order of r's: PostgreSQL's own random() would not follow the seed.
func (s *shop) shuffled(t *testing.T, r *rand.Rand, query string) []string {
	t.Helper()
	rows, err := s.admin.Query(t.Context(), query)
	if err != nil {
		t.Error(err)
		return nil
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Error(err)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

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
