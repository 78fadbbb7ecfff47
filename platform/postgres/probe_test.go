package postgres_test

import (
	"testing"

	"example.com/shop/platform/postgres"
)

// A probe uses no connection of the pool, and replaces a lost one within the same check.
func TestAProbeNeedsNoConnectionOfThePool(t *testing.T) {
	t.Parallel()
	marks := open(t, newMarks(t).URL("marks"), 1)
	probe := postgres.NewProbe(marks)
	defer probe.Close()
	held, err := marks.Pool().Acquire(t.Context()) // the only one
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	var seen []uint32
	for range 2 {
		for range 2 {
			if err := probe.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var pid uint32
		err := held.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()`).Scan(&pid)
		if err != nil {
			t.Fatalf("the probe has not exactly one connection: %v", err)
		}
		seen = append(seen, pid)
		if _, err := held.Exec(t.Context(), "SELECT pg_terminate_backend($1, 5000)", pid); err != nil {
			t.Fatal(err)
		}
	}
	if seen[0] == seen[1] {
		t.Error("the terminated connection still exists")
	}
}
