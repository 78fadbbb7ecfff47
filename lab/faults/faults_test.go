// Package faults runs the real processes under load, injects faults, and checks that nothing was
// lost and nothing was done twice.
package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/topology"
)

// bin holds the commands under test, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if bin = os.Getenv("SEAM_BIN"); bin != "" { // see inOwnNetwork
			return m.Run()
		}
		remove, err := inOneFolder()
		if err == nil {
			defer remove()
			bin, err = topology.Build(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// long skips a test outside of make long SUITE=topologies and make long SUITE=faults.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("it is run by make long SUITE=topologies, or by make long SUITE=faults")
	}
}

// shop is a running shop with an admin connection to its database.
type shop struct {
	*topology.System
	admin   *pgxpool.Pool
	base    footprint     // before the first load
	clients int           // how many place orders at once
	pause   time.Duration // of a client between two orders
	seed    uint64        // of the history's clients
	quiet   time.Duration // without a change for so long, unsettled rules are broken
	taken   []placed      // every order that was acknowledged, by all loads so far
	temp    string        // where its processes make their temporary files

	mu    sync.Mutex
	found []string
}

// clients is how many place the load of a test that is no cell.
const clients = 32

func startWith(t *testing.T, mix topology.Options) *shop {
	t.Helper()
	mix.Out = cmp.Or[io.Writer](mix.Out, t.Output())
	s, err := open(t.Context(), mix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close(t) })
	return s
}

// open starts a shop with short windows, so that faults outlast them.
func open(ctx context.Context, mix topology.Options) (*shop, error) {
	temp, err := os.MkdirTemp("", "shop-temp-")
	if err != nil {
		return nil, err
	}
	mix.Bin = cmp.Or(mix.Bin, bin)
	mix.Env = append([]string{
		"ORDERS_DEADLINE=10s", "PAYMENTS_SIM_SLOW=12s", "LOG_LEVEL=warn", "TMPDIR=" + temp,
		"EVENTS_RETRY_BASE=50ms", "EVENTS_RETRY_MAX=500ms", "EVENTS_MAX_ATTEMPTS=5",
		"PAYMENTS_CALL_TIMEOUT=200ms", "PAYMENTS_LEASE=2s", "PAYMENTS_QUIET=3s", "PAYMENTS_BACKOFF_MOST=1s", "NATS_ACK_WAIT=2s",
	}, mix.Env...)
	running, err := topology.Start(ctx, mix)
	if err != nil {
		return nil, err
	}
	admin, err := pgxpool.New(ctx, running.AdminURL)
	if err != nil {
		return nil, errors.Join(err, running.Stop())
	}
	return &shop{System: running, admin: admin, clients: clients, quiet: time.Minute, temp: temp}, nil
}

// close stops the shop. It may be called again.
func (s *shop) close(t *testing.T) {
	if err := s.end(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func (s *shop) end() error {
	s.admin.Close()
	return errors.Join(s.Stop(), os.RemoveAll(s.temp))
}

func (s *shop) token(role, subject string) string {
	return s.Key.Mint(tokens.Claims{Role: role, Subject: subject, TTL: time.Hour})
}

// underLoad runs fault under load, and then checks all rules. Fault's argument waits until a share
// of the load is done; the load does not end before fault has. It returns what is broken: each line
// begins with the name of a rule, and a colon.
func (s *shop) underLoad(t *testing.T, orders int, urls []string, fault func(progress func(share float64))) (broken []string) {
	t.Helper()
	l := &load{}
	s.baseline(t)
	stop := s.sample(t)
	history := s.recordHistory(t, l, urls)
	began := time.Now()
	loaded, enough := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(loaded)
		l.run(t, s, orders, enough, urls...)
	}()
	t.Cleanup(func() { <-loaded }) // also when the test was given up
	fault(func(share float64) {
		for l.done.Load() < int64(share*float64(orders)) {
			select {
			case <-loaded:
				return // every client has given up and reported why
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	close(enough)
	<-loaded
	history.rest()
	t.Logf("%d orders were acknowledged in %s", l.done.Load(), time.Since(began).Round(time.Millisecond))
	broken = append(broken, s.settle(t, l)...)
	history.check(t)
	broken = append(broken, stop()...)
	t.Logf("all were settled after %s, %.0f orders/s", time.Since(began).Round(time.Millisecond),
		float64(l.done.Load())/time.Since(began).Seconds())
	s.summarize(t)
	s.returnsToBase(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	broken, s.found = append(broken, s.found...), nil
	return broken
}

// finds records that a rule is broken. It fails no test, since a negative control expects that.
func (s *shop) finds(rule, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, rule+": "+fmt.Sprintf(format, args...))
}

// report fails the test for everything that is broken.
func report(t *testing.T, broken []string) {
	t.Helper()
	for _, b := range broken {
		t.Error(b)
	}
}

// summarize logs how the orders ended.
func (s *shop) summarize(t *testing.T) {
	t.Helper()
	type outcome struct {
		How   string
		Count int
	}
	for _, o := range rowsOf[outcome](t, s, "SELECT status || ' ' || reason, count(*) FROM orders.orders GROUP BY 1 ORDER BY 1") {
		t.Logf("  %-24s %5d", o.How, o.Count)
	}
}

// rowsOf returns what the query selects, a column for each field.
func rowsOf[T any](t *testing.T, s *shop, query string) []T {
	t.Helper()
	rows, _ := s.admin.Query(t.Context(), query) // CollectRows returns the error
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	if err != nil {
		t.Fatal(err)
	}
	return all
}
