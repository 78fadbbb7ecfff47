// Package faults runs the real processes under load, ends some of them at the worst moment, and checks that nothing was lost and
// nothing was done twice.
package faults

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/topology"
)

// bin holds the commands under test, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin = os.Getenv("SHOP_BIN"); bin != "" { // this is a test that another one runs in a network of its own
			return m.Run()
		}
		if bin, err = topology.Build(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		return m.Run()
	}())
}

// long leaves a test to make test-topologies, which has more time.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SHOP_LONG") == "" {
		t.Skip("it is run by make test-topologies")
	}
}

// shop is a running shop and an admin's view into its database.
type shop struct {
	*topology.Shop
	admin *pgxpool.Pool

	temporary string // the folder in which the processes make their temporary files
}

// orders is the least size of each run, from so many clients.
const orders, clients = 2000, 32

func start(t *testing.T, split ...string) *shop {
	t.Helper()
	return startWith(t, topology.Options{Split: split})
}

func startWith(t *testing.T, mix topology.Options) *shop {
	t.Helper()
	temporary := t.TempDir()
	running, err := topology.Start(t.Context(), topology.Options{
		Bin: bin, Out: cmp.Or[io.Writer](mix.Out, t.Output()), Split: mix.Split, Facade: mix.Facade, Host: mix.Host, SlowPayment: 12 * time.Second,
		Env: append([]string{
			"ORDERS_DEADLINE=10s", "LOG_LEVEL=warn", "TMPDIR=" + temporary,
			"EVENTS_RETRY_BASE=50ms", "EVENTS_RETRY_MAX=500ms", "EVENTS_MAX_ATTEMPTS=5",
			"PAYMENTS_CALL_TIMEOUT=200ms", "PAYMENTS_LEASE=2s", "PAYMENTS_QUIET=3s", "PAYMENTS_BACKOFF_MOST=1s", "NATS_ACK_WAIT=2s",
		}, mix.Env...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	admin, err := pgxpool.New(t.Context(), running.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	return &shop{Shop: running, admin: admin, temporary: temporary}
}

func (s *shop) token(role, subject string) string {
	return s.Key.Mint(tokens.Claims{Role: role, Subject: subject, TTL: time.Hour})
}

// underLoad runs the load while fault does its worst, and checks everything afterwards. Fault is told how far the load has come, and
// the load does not end before fault has.
func (s *shop) underLoad(t *testing.T, urls []string, fault func(progress func(share float64))) {
	t.Helper()
	s.underLoadOf(t, orders, urls, fault)
}

func (s *shop) underLoadOf(t *testing.T, orders int, urls []string, fault func(progress func(share float64))) {
	t.Helper()
	l := &load{}
	base := s.baseline(t)
	stop := s.sample(t)
	history := s.recordHistory(t, l, urls)
	began := time.Now()
	loaded, enough := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(loaded)
		l.run(t, s, orders, enough, urls...)
	}()
	fault(func(share float64) {
		for l.done.Load() < int64(share*float64(orders)) {
			select {
			case <-loaded:
				t.Error("the load ended before the fault")
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	close(enough)
	<-loaded
	history.rest()
	t.Logf("%d orders were acknowledged in %s", l.done.Load(), time.Since(began).Round(time.Millisecond))
	s.settle(t, l)
	history.check(t)
	stop()
	t.Logf("all were settled after %s, %.0f orders/s", time.Since(began).Round(time.Millisecond), float64(l.done.Load())/time.Since(began).Seconds())
	s.summarize(t)
	s.returnsTo(t, base)
}

// summarize logs how the orders ended, so that a run that tested nothing shows.
func (s *shop) summarize(t *testing.T) {
	t.Helper()
	rows, err := s.admin.Query(t.Context(), "SELECT status || ' ' || reason, count(*) FROM orders.orders GROUP BY 1 ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var how string
		var count int
		if err := rows.Scan(&how, &count); err != nil {
			t.Fatal(err)
		}
		t.Logf("  %-24s %5d", how, count)
	}
}

func TestLoad(t *testing.T) {
	s := start(t)
	s.underLoad(t, []string{s.URL}, func(func(float64)) {})
}

// The process is killed three times: whatever it was doing, it does again or not at all.
func TestTheMonolithIsKilled(t *testing.T) {
	s := start(t)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		for i := range 3 {
			progress(0.2 + 0.25*float64(i))
			p := s.Processes()[0]
			s.restart(t, p, func() error { return p.Signal(os.Kill) })
		}
	})
}

// restart ends a process by stop and starts it again in its place.
func (s *shop) restart(t *testing.T, p *topology.Process, stop func() error) {
	t.Helper()
	if err := stop(); err != nil {
		t.Errorf("end %s: %v", p.Name, err)
	}
	<-p.Done()
	if err := s.Restart(context.WithoutCancel(t.Context()), p); err != nil {
		t.Errorf("restart %s: %v", p.Name, err)
	}
}

// A rolling restart: the process finishes what it has, and the next one goes on.
func TestTheMonolithIsStopped(t *testing.T) {
	s := start(t)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		progress(0.4)
		p := s.Processes()[0]
		s.restart(t, p, p.Stop)
	})
}

// PostgreSQL loses its memory and recovers from its log, twice.
func TestPostgresStopsImmediately(t *testing.T) {
	s := start(t)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		for i := range 2 {
			progress(0.3 + 0.3*float64(i))
			if err := s.Server.Immediate(); err != nil {
				t.Errorf("stop PostgreSQL: %v", err)
			}
			if err := s.Server.Restart(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("start PostgreSQL: %v", err)
			}
		}
	})
}

// Two processes serve and consume for the same schemas.
func TestTwoMonoliths(t *testing.T) {
	s := start(t)
	second, err := s.StartMonolith(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.underLoad(t, []string{s.URL, second.URL}, func(func(float64)) {})
}

// An event that no handler can digest ends as a dead letter of every listener, and everything else goes on meanwhile.
func TestAPoisonousEvent(t *testing.T) {
	s := start(t)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		progress(0.2)
		_, err := s.admin.Exec(t.Context(), `INSERT INTO orders.outbox (id, topic, key, payload, headers)
			VALUES ('0198f000-0000-7000-8000-00000000dead', 'orders.cancelled.v1', 'x', '{"order_id":"no uuid","reason":"poison"}', '{}')`)
		if err != nil {
			t.Fatal(err)
		}
		s.buryPoison(t)
	})
}

// buryPoison waits for the dead letters, checks what they say, and removes them: the rest of the run must leave none.
func (s *shop) buryPoison(t *testing.T) {
	t.Helper()
	for _, module := range []string{"inventory", "payments", "notifications"} {
		deadline := time.Now().Add(time.Minute)
		for {
			var attempts int
			var reason string
			err := s.admin.QueryRow(t.Context(), "SELECT attempts, reason FROM "+module+".failed WHERE dead_at IS NOT NULL").Scan(&attempts, &reason)
			if err == nil {
				if attempts != 5 || reason == "" {
					t.Errorf("%s: dead letter after %d attempts, reason %q", module, attempts, reason)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s has no dead letter: %v", module, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		_, err := s.admin.Exec(t.Context(), `WITH buried AS (DELETE FROM `+module+`.failed RETURNING event_id, topic)
			INSERT INTO `+module+`.inbox (event_id, topic) SELECT event_id, topic FROM buried`)
		if err != nil {
			t.Fatal(err)
		}
	}
}
