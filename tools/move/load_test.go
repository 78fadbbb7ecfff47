package move_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/postgres"
	"example.com/shop/tools/move"
)

// load is writers that do what a process does: a transaction that is refused waits for a home, and
// is run again there.
type load struct {
	move    move.Move
	pools   [2]*pgxpool.Pool
	home    atomic.Int32
	count   atomic.Int64
	stop    func()
	waiters sync.WaitGroup

	mu     sync.Mutex
	acked  map[uuid.UUID]int // the steps of each parcel
	failed []error
}

func write(t *testing.T, m move.Move, writers int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{move: m, acked: map[uuid.UUID]int{}, stop: cancel}
	for i, url := range []string{m.Source, m.Target} {
		cfg, err := pgxpool.ParseConfig(m.Roles.RuntimeURL(url, m.Module))
		ok(t, err)
		cfg.MaxConns = int32(writers) + 1 //nolint:gosec // a few
		l.pools[i], err = pgxpool.NewWithConfig(ctx, cfg)
		ok(t, err)
	}
	for i := range writers {
		l.waiters.Go(func() { l.run(ctx, fmt.Sprint("writer ", i)) })
	}
	t.Cleanup(func() {
		l.end()
		for _, pool := range l.pools {
			pool.Close()
		}
	})
	return l
}

func (l *load) end() {
	l.stop()
	l.waiters.Wait()
}

func (l *load) run(ctx context.Context, writer string) {
	var parcel uuid.UUID
	for n := 0; ctx.Err() == nil; n++ {
		if n%4 == 0 {
			parcel = uuid.Must(uuid.NewV7())
		}
		err := l.tx(ctx, func(tx pgx.Tx) error { return l.step(ctx, tx, parcel, writer, n%4) })
		l.mu.Lock()
		if err == nil {
			l.acked[parcel]++
			l.count.Add(1)
		} else if ctx.Err() == nil {
			l.failed = append(l.failed, err)
		}
		l.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
}

// step writes one step of a parcel, or nothing if an earlier try had been committed after all.
func (l *load) step(ctx context.Context, tx pgx.Tx, parcel uuid.UUID, writer string, n int) error {
	if n == 0 {
		tag, err := tx.Exec(ctx, "INSERT INTO parcels (id, cents) VALUES ($1, 250) ON CONFLICT DO NOTHING", parcel)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO days VALUES (current_date, $1)", parcel); err != nil {
			return err
		}
	} else {
		tag, err := tx.Exec(ctx, "UPDATE parcels SET mood = 'bad' WHERE id = $1 AND changes = $2", parcel, n-1)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			var changes int
			if err := tx.QueryRow(ctx, "SELECT changes FROM parcels WHERE id = $1", parcel).Scan(&changes); err != nil || changes == n {
				return err
			}
			return fmt.Errorf("parcel %s has %d changes before change %d", parcel, changes, n)
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO steps (parcel, writer, n) VALUES ($1, $2, $3)", parcel, writer, n)
	return err
}

// tx runs a transaction at home.
func (l *load) tx(ctx context.Context, do func(tx pgx.Tx) error) error {
	for until := time.Now().Add(time.Minute); ; {
		err := pgx.BeginFunc(ctx, l.pools[l.home.Load()], do)
		if err == nil || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
		if !postgres.HasCode(err, "42501") && !postgres.Transient(err) {
			return err
		}
		l.park(ctx, until)
	}
}

// park waits for a home, and lifts a fence whose deadline is over.
func (l *load) park(ctx context.Context, until time.Time) {
	for time.Now().Before(until) && ctx.Err() == nil {
		for i, pool := range l.pools {
			var state string
			var late bool
			err := pool.QueryRow(ctx, "SELECT state, coalesce(deadline < clock_timestamp(), false) FROM home").Scan(&state, &late)
			if errors.Is(err, pgx.ErrNoRows) {
				state, err = "home", nil // it has never moved
			}
			if err == nil && late {
				_, _ = pool.Exec(ctx, "SELECT lift_fence()") // another writer may be first
			}
			if err == nil && state == "home" {
				l.home.Store(int32(i)) //nolint:gosec // 0 or 1
				return
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// await returns when so many more transactions were committed.
func (l *load) await(t *testing.T, more int64) {
	t.Helper()
	goal := l.count.Load() + more
	for until := time.Now().Add(20 * time.Second); l.count.Load() < goal; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("the writers do not get on: %d of %d transactions", l.count.Load(), goal)
		}
	}
}

// awaitFailure returns when a writer has failed.
func (l *load) awaitFailure(t *testing.T) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		failed := len(l.failed)
		l.mu.Unlock()
		if failed > 0 {
			return
		}
		if time.Now().After(until) {
			t.Fatal("no writer fails")
		}
	}
}

// faults stops the writers and returns what is wrong with the data at home.
func (l *load) faults(t *testing.T) (faults []string) {
	t.Helper()
	l.end()
	ctx := t.Context()
	for _, err := range l.failed {
		faults = append(faults, "a writer failed: "+err.Error())
	}
	homes := 0
	for i, url := range []string{l.move.Source, l.move.Target} {
		conn, err := pgx.Connect(ctx, url)
		ok(t, err)
		defer conn.Close(ctx)
		var state string
		var writable bool
		ok(t, conn.QueryRow(ctx, "SELECT state, has_table_privilege($1, 'parcels.steps', 'INSERT') FROM parcels.home", l.move.Roles.Prefix+"parcels_rt").
			Scan(&state, &writable))
		if writable != (state == "home") {
			faults = append(faults, fmt.Sprintf("database %d says %s, and is writable: %v", i, state, writable))
		}
		if state != "home" {
			continue
		}
		homes++
		faults = append(faults, l.missing(t, conn)...)
	}
	if homes != 1 {
		faults = append(faults, fmt.Sprintf("%d databases are the home", homes))
	}
	return faults
}

func (l *load) missing(t *testing.T, conn *pgx.Conn) (faults []string) {
	t.Helper()
	ctx := t.Context()
	rows, err := conn.Query(ctx, "SELECT p.id, p.changes, count(s.id)::int, (SELECT count(*)::int FROM parcels.days WHERE parcel = p.id) "+
		"FROM parcels.parcels AS p LEFT JOIN parcels.steps AS s ON s.parcel = p.id GROUP BY p.id")
	ok(t, err)
	defer rows.Close()
	found := map[uuid.UUID]int{}
	for rows.Next() {
		var id uuid.UUID
		var changes, steps, days int
		ok(t, rows.Scan(&id, &changes, &steps, &days))
		found[id] = steps
		if _, ours := l.acked[id]; ours && (steps != changes+1 || days != 1) {
			faults = append(faults, fmt.Sprintf("parcel %s has %d steps, %d changes and %d days", id, steps, changes, days))
		}
	}
	ok(t, rows.Err())
	for id, acked := range l.acked {
		if found[id] < acked {
			faults = append(faults, fmt.Sprintf("parcel %s has %d steps of %d", id, found[id], acked))
		}
	}
	return faults
}

func (l *load) check(t *testing.T) {
	t.Helper()
	faults := l.faults(t)
	for i, fault := range faults {
		if i < 10 {
			t.Error(fault)
		}
	}
	t.Logf("%d transactions, %d faults", l.count.Load(), len(faults))
}
