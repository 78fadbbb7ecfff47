package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// marker is a group whose calls insert a mark each and return its name. Transactions that have
// begun wait while the gate is shut.
type marker struct {
	*postgres.Group[string, string]
	db           *postgres.DB
	transactions atomic.Int64
	begun        chan []string
	gate         chan struct{}
}

var errRefused = errors.New("refused")

func newMarker(t *testing.T) *marker {
	t.Helper()
	db := pgtest.New(t, pgtest.Schema{Module: "marks", Migrations: schema})
	m := &marker{db: db.Module(t, "marks"), begun: make(chan []string, 1000), gate: make(chan struct{})}
	close(m.gate)
	type result = postgres.Result[string]
	m.Group = postgres.NewGroup(m.db, func(_ context.Context, tx pgx.Tx, calls []string) ([]result, error) {
		m.transactions.Add(1)
		gate := m.gate
		m.begun <- calls
		<-gate
		results := make([]result, len(calls))
		for i, name := range calls {
			switch kind, _, _ := strings.Cut(name, " "); kind {
			case "refused": // this one alone
				results[i].Err = errRefused
				continue
			case "poison":
				return nil, errors.New("poisoned")
			case "panic":
				panic("panicked")
			case "forgotten":
				return results[:i], nil
			}
			results[i].Value = "marked " + name
			if name != "nothing" {
				queueMark(tx, name)
			}
		}
		return results, nil
	})
	return m
}

// shut makes transactions wait until open is called.
func (m *marker) shut(t *testing.T) (open func()) {
	gate := make(chan struct{})
	m.gate = gate
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	return open
}

// fill occupies the group until open is called: later calls wait.
func (m *marker) fill(t *testing.T) (open func(), filled *sync.WaitGroup) {
	t.Helper()
	open, filled = m.shut(t), &sync.WaitGroup{}
	for i := range 2 {
		filled.Go(func() { m.call(t, fmt.Sprintf("filler %d", i)) })
		<-m.begun
	}
	return open, filled
}

func (m *marker) call(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if got, err := m.Do(ctx, name); err != nil || got != "marked "+name {
		t.Errorf("%s: %q, %v", name, got, err)
	}
}

func (m *marker) marks(t *testing.T) (n int) {
	t.Helper()
	if err := m.db.QueryRow(t.Context(), countMarks).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestConcurrentCallsShareATransaction(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	open, filled := m.fill(t)
	var calling, done sync.WaitGroup
	for i := range 200 {
		calling.Add(1)
		done.Go(func() { calling.Done(); m.call(t, fmt.Sprint(i)) })
	}
	calling.Wait()
	time.Sleep(50 * time.Millisecond) // until the last call waits
	open()
	done.Wait()
	filled.Wait()
	if n := m.marks(t); n != 202 {
		t.Errorf("%d marks of 202", n)
	}
	if n := m.transactions.Load(); n > 20 {
		t.Errorf("%d transactions for 202 calls", n)
	}
	for len(m.begun) > 0 {
		if calls := <-m.begun; len(calls) > 64 {
			t.Errorf("a transaction of %d calls", len(calls))
		}
	}
}

// A call that fails returns its own error, and the others their results.
func TestACallThatFailsFailsNoOther(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"refused": "refused", "poison": "poisoned", "panic": "panicked",
		"bad": "marks_name_check", "forgotten": "has no result",
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			m := newMarker(t)
			open, filled := m.fill(t)
			var done sync.WaitGroup
			for i := range 20 {
				done.Go(func() { m.call(t, fmt.Sprint(i)) })
			}
			done.Go(func() {
				got, err := m.Do(t.Context(), kind)
				if err == nil || !strings.Contains(err.Error(), want) || got != "" {
					t.Errorf("%s: %q, %v", kind, got, err)
				}
			})
			time.Sleep(50 * time.Millisecond) // so that they share a transaction
			open()
			done.Wait()
			filled.Wait()
			m.call(t, "afterwards")
			if n := m.marks(t); n != 23 {
				t.Errorf("%d marks of 23", n)
			}
		})
	}
}

// A caller that leaves does not end a transaction, not even its own.
func TestACallerLeaves(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	open := m.shut(t)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := m.Do(ctx, "one")
		left <- err
	}()
	<-m.begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("it returned %v", err)
	}
	open()
	await(t, func() bool { return m.marks(t) == 1 })
}

// Calls whose callers have left are not begun: after a stall that would be all that had waited.
func TestACallerLeavesTheQueue(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	open, filled := m.fill(t)
	ctx, leave := context.WithCancel(t.Context())
	var done sync.WaitGroup
	for i := range 3 {
		done.Go(func() {
			if _, err := m.Do(ctx, fmt.Sprint("left ", i)); !errors.Is(err, context.Canceled) {
				t.Errorf("it returned %v", err)
			}
		})
		done.Go(func() { m.call(t, fmt.Sprint("stayed ", i)) })
	}
	time.Sleep(50 * time.Millisecond) // until the last call waits
	leave()
	open()
	done.Wait()
	filled.Wait()
	if n := m.marks(t); n != 5 {
		t.Errorf("%d marks, want 5: those of three callers and of the two ahead of them", n)
	}
}

// Calls without a connection or an answer all fail with their transaction: each would wait as long
// again.
func TestCallsThatGetNoConnectionWaitOnce(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	for range m.db.Config().MaxConns {
		conn, err := m.db.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
	}
	const limit = 500 * time.Millisecond
	m.SetLimit(limit)
	began := time.Now()
	var done sync.WaitGroup
	for i := range 50 {
		done.Go(func() {
			if _, err := m.Do(t.Context(), fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		})
	}
	done.Wait()
	if took := time.Since(began); took > 10*limit { // two limits, one after the other, and slack
		t.Errorf("it took %s", took)
	}
}

// A call runs immediately beside another's transaction, and no timer delays it.
func TestALoneCallWaitsForNoOther(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	open := m.shut(t)
	var first sync.WaitGroup
	first.Go(func() { m.call(t, "first") })
	<-m.begun
	m.gate = make(chan struct{})
	close(m.gate)
	m.call(t, "second")
	open()
	first.Wait()

	least := time.Hour // of calls that do nothing
	for range 20 {
		time.Sleep(10 * time.Millisecond) // until the group is idle
		began := time.Now()
		m.call(t, "nothing")
		least = min(least, time.Since(began))
	}
	if least > time.Millisecond {
		t.Errorf("a call takes %s at least", least)
	}
}

// An idle group has no goroutine. (Not parallel: other groups' would count.)
func TestAnIdleGroupIsNoGoroutine(t *testing.T) {
	m := newMarker(t)
	open, filled := m.fill(t)
	if n := working(); n != 2 {
		t.Errorf("%d goroutines work, want 2", n)
	}
	open()
	filled.Wait()
	await(t, func() bool { return working() == 0 })
}

// working returns how many goroutines run groups' transactions.
func working() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	return strings.Count(string(stacks), "created by example.com/shop/platform/postgres.(*Group[")
}
