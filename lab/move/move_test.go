// Package move moves the data of a running shop's modules to another server and back, by seam move,
// while customers order.
package move

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

const (
	switches = 10 // of each module, out and back in turn
	warmUp   = 3 * time.Second
	between  = time.Second // after a switch, until the next
	backlog  = 3 * time.Minute
)

// rate returns how many orders are placed a second.
func rate() int {
	if n, err := strconv.Atoi(os.Getenv("MOVE_RATE")); err == nil {
		return n
	}
	return 300
}

// before returns how many orders there are before the first is placed.
func before(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv("MOVE_ORDERS"), "0"))
	if err != nil {
		t.Fatalf("MOVE_ORDERS: %v", err)
	}
	return n
}

// Each module's data goes to another server and comes back, five times, and no request fails. The
// test says how long each pause was and does not judge it, because that depends on the machine.
func TestModulesMoveWhileCustomersOrder(t *testing.T) {
	s := begin(t)
	for _, module := range topology.Modules {
		t.Run(module, func(t *testing.T) {
			target := postgres.WithDatabase(s.target.URL(), module)
			stop := s.customers(t, rate())
			time.Sleep(warmUp)
			s.seam(t, "move", "seed", module, "--to", target)
			there := open(t, target)
			var seen pauses
			for i := range switches {
				verb, home := "switch", there
				if i%2 == 1 {
					verb, home = "back", s.db
				}
				began := time.Now()
				said := s.seam(t, "move", verb, module, "--to", target)
				time.Sleep(between)
				seen.add(t, module, home, said, began, time.Now())
			}
			orders := stop()
			seen.report(t, orders)
			s.check(t, len(orders))
			s.seam(t, "move", "finish", module, "--to", target, "--yes")
		})
	}
}

// shop is a running shop and the server that its data goes to.
type shop struct {
	*topology.System
	bin    string
	db     *pgxpool.Pool
	target *pgserver.Server
	placed int // before
}

func begin(t *testing.T) *shop {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("make long SUITE=move runs it")
	}
	bin, err := topology.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	s := &shop{bin: bin}
	log, err := os.CreateTemp("", "shop-*.log")
	if err != nil {
		t.Fatal(err)
	}
	if s.System, err = topology.Start(t.Context(), topology.Options{Bin: bin, Out: log}); err != nil {
		t.Fatalf("%v; the shop's log is %s", err, log.Name())
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		_ = log.Close()
		if t.Failed() {
			t.Logf("the shop's log is %s", log.Name())
			return
		}
		_ = os.Remove(log.Name())
	})
	if s.target, err = pgserver.Start(t.Context(), pgserver.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.target.Stop(context.WithoutCancel(t.Context())) })
	s.db = open(t, s.AdminURL)
	for _, fill := range load.Past(1, before(t)) {
		if _, err := s.db.Exec(t.Context(), fill); err != nil {
			t.Fatal(err)
		}
	}
	s.placed = before(t)
	staff := load.Shop{URL: s.URL, Token: s.token("staff", "grace")}
	if _, err := staff.Restock(t.Context(), 1_000_000); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func (s *shop) token(role, subject string) string {
	return s.Key.Mint(tokens.Claims{Role: role, Subject: subject, TTL: time.Hour})
}

// seam runs the command, which must succeed, and returns what it prints.
func (s *shop) seam(t *testing.T, args ...string) string {
	t.Helper()
	said, err := s.command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("seam %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return string(said)
}

func (s *shop) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(s.bin, "seam"), args...)
	command.Env = append(os.Environ(), "DATABASE_URL="+s.AdminURL, "SEAM_ROLE_PREFIX="+s.Plan.Prefix, "SEAM_ROLE_SECRET="+s.Plan.Secret)
	return command
}

// customers place orders until stop is called, which returns them. None may be refused.
func (s *shop) customers(t *testing.T, rate int) (stop func() []load.Order) {
	t.Helper()
	plan := load.Plan{URL: s.URL, Rate: rate, For: time.Hour}
	for i := range 300 {
		plan.Tokens = append(plan.Tokens, s.token("customer", fmt.Sprint("customer-", i)))
	}
	var err error
	if plan.SKUs, err = (load.Shop{URL: s.URL, Token: plan.Tokens[0]}).SKUs(t.Context()); err != nil {
		t.Fatal(err)
	}
	var orders []load.Order
	ended := pgtest.Run(t, func(ctx context.Context) error {
		return plan.Run(ctx, func(o load.Order) {
			if orders = append(orders, o); o.Err != nil && ctx.Err() == nil {
				t.Errorf("an order was refused: %v", o.Err)
			}
		})
	})
	return func() []load.Order { ended(); return orders }
}

// pauses are those of one module, by the three who can measure them.
type pauses struct {
	coordinator, database, clients []float64 // in ms
	windows                        [][2]time.Time
}

var saidPause = regexp.MustCompile(`with a pause of ([0-9.a-zµ]+)`)

// add notes a switch. What the databases show is the longest time in which the module handled no
// event.
func (p *pauses) add(t *testing.T, module string, home *pgxpool.Pool, said string, began, ended time.Time) {
	t.Helper()
	found := saidPause.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("it does not say how long the pause was:\n%s", said)
	}
	pause, err := time.ParseDuration(found[1])
	if err != nil {
		t.Fatal(err)
	}
	p.coordinator = append(p.coordinator, float64(pause.Microseconds())/1000)
	var gap float64
	err = home.QueryRow(t.Context(), `SELECT coalesce(max(gap), 0) FROM (
		SELECT 1000 * extract(epoch FROM handled_at - lag(handled_at) OVER (ORDER BY handled_at))::float8 AS gap
		FROM `+module+`.inbox WHERE handled_at BETWEEN $1 AND $2) AS gaps`, began, ended).Scan(&gap)
	if err != nil {
		t.Fatal(err)
	}
	p.database = append(p.database, gap)
	p.windows = append(p.windows, [2]time.Time{began, ended})
}

// report says how long the pauses were. The clients' are the slowest order of each switch.
func (p *pauses) report(t *testing.T, orders []load.Order) {
	t.Helper()
	var usual load.Times
	for _, w := range p.windows {
		slowest := time.Duration(0)
		for _, o := range orders {
			if o.Due.After(w[0]) && o.Due.Before(w[1]) {
				slowest = max(slowest, o.Took)
			}
		}
		p.clients = append(p.clients, float64(slowest.Microseconds())/1000)
	}
	for _, o := range orders {
		usual = append(usual, o.Took)
	}
	t.Logf("%d orders at %d/s; an order takes %v (99 of 100 within %v)", len(orders), rate(),
		usual.At(50).Round(100*time.Microsecond), usual.At(99).Round(100*time.Microsecond))
	for who, ms := range map[string][]float64{
		"the coordinator's pause": p.coordinator, "no event was handled for": p.database, "the slowest order took": p.clients,
	} {
		sorted := slices.Sorted(slices.Values(ms))
		t.Logf("%-26s median %5.1f ms, worst %5.1f ms: %s", who, sorted[len(sorted)/2], sorted[len(sorted)-1], rounded(ms))
	}
}

func rounded(ms []float64) string {
	var all []string
	for _, v := range ms {
		all = append(all, fmt.Sprint(math.Round(v)))
	}
	return strings.Join(all, " ")
}

// check waits until each order has ended, and counts what follows from it, where all data is again.
func (s *shop) check(t *testing.T, placed int) {
	t.Helper()
	count := func(query string) int { return pgtest.Count(t, s.db, query) }
	s.placed += placed
	const mails = "SELECT count(*) FROM notifications.messages WHERE status = 'sent'"
	ended := func() bool {
		return count("SELECT count(*) FROM orders.orders WHERE status NOT IN ('confirmed', 'cancelled')") == 0 &&
			count(mails) >= s.placed
	}
	for until := time.Now().Add(backlog); !ended() && time.Now().Before(until); { // what does not end is counted below
		time.Sleep(100 * time.Millisecond)
	}
	for what, n := range map[string]int{
		"orders":            count("SELECT count(*) FROM orders.orders"),
		"mails":             count(mails),
		"captured payments": count("SELECT count(*) FROM payments.payments WHERE status = 'captured'"),
	} {
		if n != s.placed {
			t.Errorf("%d %s for %d orders", n, what, s.placed)
		}
	}
	for _, module := range topology.Modules {
		if n := count("SELECT count(*) FROM " + module + ".failed"); n > 0 {
			t.Errorf("%d events have failed in %s", n, module)
		}
	}
}
