package move_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/shop/platform/postgres"
	"example.com/shop/tools/move"
)

// The side that was left and given up comes back when the home has another copy. It takes none of
// the rows that are kept for that one.
func TestACopyThatComesBackTakesNothing(t *testing.T) {
	long(t)
	t.Parallel()
	m, source, _ := newServers(t)
	seed(t, m)
	_, err := m.Switch(t.Context())
	ok(t, err)
	ok(t, source.Kill())
	ok(t, m.FinishAlone(t.Context(), func(move.Ending) error { return nil }))
	next := m
	next.Source, next.Target = m.Target, postgres.WithDatabase(newServer(t).URL(), "parcels_next")
	seed(t, next)
	ok(t, source.Restart(t.Context()))
	for range 20 { // the receiver of rows asks again, which gives the old copy its chance
		run(t, m.Target, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication; INSERT INTO parcels.parcels (id, cents) VALUES (gen_random_uuid(), 1)")
		time.Sleep(100 * time.Millisecond)
	}
	if got := ask(t, m.Source, "SELECT count(*)::text FROM parcels.parcels"); got != "1" {
		t.Errorf("the old copy has taken rows: it has %s", got)
	}
	ctx, cancel := contextWithin(t, 30)
	defer cancel()
	_, err = next.Switch(ctx)
	ok(t, err)
	if got := ask(t, next.Target, "SELECT count(*)::text FROM parcels.parcels"); got != "21" {
		t.Errorf("the new home has %s rows of 21", got)
	}
}

// A server whose processes follow others but for one is enough for the side that was left, and for
// the way back; not for a copy.
func TestOneProcessIsEnoughForTheWayBack(t *testing.T) {
	long(t)
	t.Parallel()
	m, source, target := newServers(t)
	run(t, target.URL(), "CREATE PUBLICATION others")
	for n := range 19 { // of the 20 of pgserver
		run(t, source.URL(), fmt.Sprintf("CREATE SUBSCRIPTION other_%d CONNECTION '%s' PUBLICATION others", n, target.URL()))
	}
	for ask(t, source.URL(), "SELECT count(pid)::text FROM pg_stat_subscription") != "19" {
		time.Sleep(50 * time.Millisecond)
	}
	seed(t, m)
	for _, m := range []move.Move{m, m.Back()} {
		_, err := m.Switch(t.Context())
		ok(t, err)
	}
	refuses(t, "a copy", newMoveBetween(t, target.URL(), source.URL()).Seed(t.Context()), "processes free to copy and to follow: 1, and it takes 2")
}

// Over a distance, a row takes as long as it takes: there is nothing to wait for.
func TestADistanceIsNoBurst(t *testing.T) {
	long(t)
	t.Parallel()
	m, wires := newWired(t)
	seed(t, m)
	for _, w := range wires {
		w.Delay(15 * time.Millisecond)
	}
	var calm time.Duration
	m.Report = func(s move.Step) {
		if s.Name == "calm" {
			calm = s.Took
		}
	}
	_, err := m.Switch(t.Context()) // the pause may be too long for it
	if calm == 0 || calm > time.Second {
		t.Errorf("it waits %v: %v", calm, err)
	}
}
