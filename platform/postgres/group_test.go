package postgres_test

import (
	"context"
	"crypto/rand"
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
	m := &marker{db: newMarks(t).Module(t, "marks"), begun: make(chan []string, 1000), gate: make(chan struct{})}
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
	for range 2 {
		filled.Go(func() { m.call(t, fmt.Sprint("filler ", rand.Text())) })
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

// start makes calls and returns when all wait for their results.
func (m *marker) start(calls int, do func(i int)) (done *sync.WaitGroup) {
	done = &sync.WaitGroup{}
	for i := range calls {
		done.Go(func() { do(i) })
	}
	time.Sleep(50 * time.Millisecond) // until the last call waits
	return done
}

// together makes calls wait, runs meanwhile, and lets them share what transactions they may.
func (m *marker) together(t *testing.T, calls int, do func(i int), meanwhile func()) {
	t.Helper()
	for len(m.begun) > 0 {
		<-m.begun
	}
	open, filled := m.fill(t)
	done := m.start(calls, do)
	meanwhile()
	open()
	done.Wait()
	filled.Wait()
}

func (m *marker) expect(t *testing.T, want int) {
	t.Helper()
	if n := marksOf(t, m.db); n != want {
		t.Errorf("%d marks, want %d", n, want)
	}
}

func TestConcurrentCallsShareATransaction(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	m.together(t, 200, func(i int) { m.call(t, fmt.Sprint(i)) }, func() {})
	m.expect(t, 202)
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
	m := newMarker(t)
	for kind, want := range map[string]string{
		"refused": "refused", "poison": "poisoned", "panic": "panicked",
		"bad": "marks_name_check", "forgotten": "has no result",
	} {
		before := marksOf(t, m.db)
		m.together(t, 21, func(i int) {
			if i < 20 {
				m.call(t, fmt.Sprint(kind, i))
			} else if got, err := m.Do(t.Context(), kind); err == nil || !strings.Contains(err.Error(), want) || got != "" {
				t.Errorf("%s: %q, %v", kind, got, err)
			}
		}, func() {})
		m.expect(t, before+22)
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
	pgtest.Until(t, "it is committed", func() bool { return marksOf(t, m.db) == 1 })
}

// Calls whose callers have left are not begun: after a stall that would be all that had waited.
func TestACallerLeavesTheQueue(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	ctx, leave := context.WithCancel(t.Context())
	m.together(t, 6, func(i int) {
		if i >= 3 {
			m.call(t, fmt.Sprint("stayed ", i))
		} else if _, err := m.Do(ctx, fmt.Sprint("left ", i)); !errors.Is(err, context.Canceled) {
			t.Errorf("it returned %v", err)
		}
	}, leave)
	m.expect(t, 5) // of three callers and of the two ahead of them
}

// Calls without a connection or an answer all fail with their transaction: each would wait as long
// again.
func TestCallsThatGetNoConnectionWaitOnce(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	for range m.db.Pool().Config().MaxConns {
		conn, err := m.db.Pool().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Release)
	}
	const limit = 500 * time.Millisecond
	m.SetLimit(limit)
	began := time.Now()
	m.start(50, func(i int) {
		if _, err := m.Do(t.Context(), fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}).Wait()
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
	working := func() int { // how many goroutines run groups' transactions
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return strings.Count(string(stacks), "created by example.com/shop/platform/postgres.(*Group[")
	}
	m := newMarker(t)
	open, filled := m.fill(t)
	if n := working(); n != 2 {
		t.Errorf("%d goroutines work, want 2", n)
	}
	open()
	filled.Wait()
	pgtest.Until(t, "none works", func() bool { return working() == 0 })
}
