package bench

import "testing"

// written is what PostgreSQL has written, by its own counters.
type written struct {
	transactions float64 // that had anything to write or to lock
	kilobytes    float64 // of write-ahead log; with them pages that are written whole, because they change for the first time after a checkpoint
}

func (s *shop) written(t *testing.T) (w written) {
	t.Helper()
	err := s.admin.QueryRow(t.Context(), `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8,
		pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 / 1000`).Scan(&w.transactions, &w.kilobytes)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w written) since(before written) written {
	return written{w.transactions - before.transactions, w.kilobytes - before.kilobytes}
}

// each is that for each of so many orders.
func (w written) each(orders int) written {
	return written{w.transactions / float64(orders), w.kilobytes / float64(orders)}
}

// beside compares what an order costs PostgreSQL with what another does.
func (w written) beside(what, reference string, is written) []row {
	return []row{
		{what: what, unit: "transactions", ours: rate(w.transactions), beside: reference, reference: rate(is.transactions)},
		{what: what, unit: "kB of WAL", ours: rate(w.kilobytes), beside: reference, reference: rate(is.kilobytes)},
	}
}
