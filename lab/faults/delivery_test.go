package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"example.com/shop/tools/topology"
)

// publishers are the modules that publish events.
var publishers = []string{"orders", "inventory", "payments"}

// disturbDelivery has events delivered late, twice and in another order. In each module four of ten
// fail before they have a certain age, and are retried then; and some are replayed all the time.
func disturbDelivery(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, module := range topology.Modules {
		defer s.trigger(t, "BEFORE INSERT", module+".failed", whenOldEnough)()
		defer s.trigger(t, "BEFORE INSERT", module+".inbox",
			strings.Replace(tooYoung, "DIGITS", fmt.Sprint(r.Perm(10)[:4]), 1))()
	}
	progress(0.2)
	for until := time.Now().Add(2 * outlasts); time.Now().Before(until); rest(r, 400*time.Millisecond) {
		s.replaySome(t, r, publishers[r.IntN(len(publishers))], r.IntN(80))
	}
}

// oldEnough is when an event has its age, which depends on a byte of its id: 0 to 6 seconds, more
// than the orders' deadline. An id begins with its time in milliseconds (RFC 9562).
const oldEnough = `(to_timestamp(('x' || translate(left(NEW.event_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
	+ interval '300 ms' * (get_byte(uuid_send(NEW.event_id), 14) % 20))`

// tooYoung refuses events by another byte of their id: those whose last digit is one of four.
// whenOldEnough delays their retries, or they would become dead letters.
const (
	tooYoung = `
	IF strpos('DIGITS', (get_byte(uuid_send(NEW.event_id), 15) % 10)::text) > 0 AND clock_timestamp() < ` + oldEnough + ` THEN
		RAISE 'not yet';
	END IF;
	RETURN NEW;`
	whenOldEnough = `
	IF NEW.reason LIKE '%not yet%' THEN
		NEW.next_at := greatest(NEW.next_at, ` + oldEnough + `);
	END IF;
	RETURN NEW;`
)

// replaySome replays some of the module's events.
func (s *shop) replaySome(t *testing.T, r *rand.Rand, module string, most int) {
	t.Helper()
	ids := s.shuffled(t, r, "SELECT id::text FROM "+module+".outbox ORDER BY id")
	s.exec(t, strings.ReplaceAll(`
		WITH again AS (UPDATE m.outbox SET replays = replays + 1 WHERE id = ANY ($1::uuid[]) RETURNING id, topic, replays)
		INSERT INTO m.outbox_pending (event_id, topic, replays) SELECT id, topic, replays FROM again
		ON CONFLICT (event_id) DO UPDATE SET replays = excluded.replays`, "m.", module+"."), ids[:min(most, len(ids))])
}

// shuffled returns the query's column in a random order by r, which follows the seed.
func (s *shop) shuffled(t *testing.T, r *rand.Rand, query string) (all []string) {
	t.Helper()
	for _, row := range rowsOf[struct{ Text string }](t, s, query) {
		all = append(all, row.Text)
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// replay replays all events, twice.
func replay(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 2) {
		progress(moment)
		s.seam(t, "events", "replay", "--since", "1h")
	}
}

// regret has customers cancel confirmed orders, which is too late.
func regret(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, moment := range moments(r, 3) {
		progress(moment)
		for _, o := range rowsOf[struct{ ID, Customer string }](t, s,
			"SELECT id::text, customer_id FROM orders.orders WHERE status = 'confirmed' ORDER BY id DESC LIMIT 20") {
			s.cancel(t.Context(), s.URL, o.Customer, o.ID)
		}
	}
}

func (s *shop) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), statement, args...); err != nil {
		t.Error(err)
	}
}
