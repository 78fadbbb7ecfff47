package bench

import "testing"

// written is what PostgreSQL has written, by its own counters, which every machine counts alike.
type written struct {
	transactions float64 // that wrote anything
	kilobytes    float64 // of write-ahead log
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

// each is what was written since then, for each of so many orders.
func (w written) each(since written, orders int) written {
	n := float64(orders)
	return written{(w.transactions - since.transactions) / n, (w.kilobytes - since.kilobytes) / n}
}

// rows compare what PostgreSQL writes for an order with what it writes for another.
func (w written) rows(what, beside string, reference written) []row {
	return []row{
		{what: what, unit: "transactions that write", ours: figure{value: w.transactions}, beside: beside, reference: figure{value: reference.transactions}},
		{what: what, unit: "kB of WAL", ours: figure{value: w.kilobytes}, beside: beside, reference: figure{value: reference.kilobytes}},
	}
}
