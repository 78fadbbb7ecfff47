package faults

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"example.com/shop/tools/topology"
)

// The topologies of the matrix.
const (
	monolith = "monolith"
	split    = "split"  // a process for each module
	halves   = "canary" // a monolith, and payments beside it with half of its share
)

var topologies = []string{monolith, split, halves}

// deed is what is done to a running shop; progress waits until a share of its load is done.
type deed func(t *testing.T, s *shop, r *rand.Rand, progress func(share float64))

// fault is a row of the matrix: what is done to a running shop under load. After that the shop must
// recover, and every rule must hold.
type fault struct {
	name     string
	broker   bool                                // it is done to the broker, which a monolith has not
	smoke    []string                            // the topologies of make test
	tagged   bool                                // needs the binaries with failpoints
	replicas int                                 // how many more processes serve the same schemas
	clients  int                                 // clients without pauses; 0 for the usual ones
	alone    func(t *testing.T) topology.Options // the options of a shop of its own
	needs    func() error                        // returns why it cannot run here
	do       deed
}

// The load of a cell: at least so many orders, from so many clients with this pause between orders.
const (
	cellOrders  = 300
	cellClients = 16
	cellPause   = 50 * time.Millisecond
)

// tired is how many orders a shop may have before the next cell gets a new one, for speed.
const tired = 4000

// cellWindows are the shortest windows that the modules allow, so that a fault of three seconds
// outlasts every lease and every acknowledgement timeout.
var cellWindows = []string{
	"ORDERS_DEADLINE=4s", "PAYMENTS_LEASE=1s", "PAYMENTS_QUIET=1500ms", "PAYMENTS_BACKOFF_MOST=500ms",
	"NATS_ACK_WAIT=1s", "NATS_NAK_DELAY=200ms", "NOTIFICATIONS_SEND_TIMEOUT=1s", "NOTIFICATIONS_LEASE=2s", "PAYMENTS_SIM_SLOW=5s",
}

// outlasts is longer than all of them, but for the deadline.
const outlasts = 3 * time.Second

// TestMatrix runs every fault on every topology.
//
// SEED determines the moments, as shares of the load, the pauses, the victims, and what the clients
// of the history choose; the load places the same orders in every run. It does not determine the
// scheduling: what a process is doing at such a moment, and which orders, events and sessions there
// are. So a seed repeats the plan of a run, and not always its failure.
func TestMatrix(t *testing.T) {
	seed := seedOf(t)
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tTOPOLOGY\tORDERS\tRULES\tSECONDS")
	numbers := numberCells()
	for _, where := range topologies {
		t.Run(where, func(t *testing.T) {
			m := &matrix{where: where, seed: seed, table: table, numbers: numbers}
			defer m.close(t)
			for _, f := range faults {
				if f.on(where) {
					t.Run(f.name, func(t *testing.T) { m.run(t, f) })
				}
			}
		})
	}
	_ = table.Flush()
	t.Logf("SEED=%d\n%s", seed, report.String())
}

// on reports whether the fault is done to the topology.
func (f fault) on(where string) bool { return !f.broker || where != monolith }

// numberCells numbers the cells of this run, by topology and name, with those that -run leaves out.
func numberCells() map[[2]string]int {
	numbers := map[[2]string]int{}
	for _, where := range topologies {
		for _, f := range faults {
			if f.on(where) && (os.Getenv("SEAM_LONG") != "" || slices.Contains(f.smoke, where)) {
				numbers[[2]string{where, f.name}] = len(numbers) + 1
			}
		}
	}
	return numbers
}

// numbered returns a progress prefix such as [ 3/61].
func numbered(number, total int) string {
	return fmt.Sprintf("[%*d/%d]", len(strconv.Itoa(total)), number, total)
}

// anySeed is the random seed of this run.
var anySeed = rand.Uint64N(1_000_000)

// seedOf returns SEED, or anySeed.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := anySeed
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("SEED must be a whole number, such as 7, and is %q", text)
		}
	}
	t.Logf("SEED=%d; make long SUITE=faults SEED=%[1]d repeats its plan", seed)
	return seed
}

// chance returns the cell's random numbers. They depend on the seed and the cell's name alone.
func chance(seed uint64, cell string) *rand.Rand {
	name := fnv.New64a()
	_, _ = name.Write([]byte(cell))
	return rand.New(rand.NewPCG(seed, name.Sum64()))
}

// matrix runs the cells of a topology in order, on one shop for as long as that is healthy.
type matrix struct {
	where   string
	seed    uint64
	table   *tabwriter.Writer
	numbers map[[2]string]int // of the cells of all topologies

	shop   *shop
	tagged bool // the shop's binaries
	logs   *journal
}

func (m *matrix) run(t *testing.T, f fault) {
	if !slices.Contains(f.smoke, m.where) {
		long(t)
	}
	if f.needs != nil {
		if why := f.needs(); why != nil {
			fmt.Fprintf(m.table, "%s\t%s\t\tnot run: %v\t\n", f.name, m.where, why)
			t.Skipf("%s %s, %s: not run: %v", m.number(f), m.where, f.name, why)
		}
	}
	orders, began := 0, time.Now()
	defer func() { m.enter(t, f, orders, time.Since(began)) }()
	s := m.open(t, f)
	before := len(s.taken)
	defer func() { orders = len(s.taken) - before }()
	s.crowd(f.clients)
	r := chance(m.seed, t.Name())
	s.seed = r.Uint64()
	replicas, urls := s.replicate(t, m.where, f.replicas, r)
	report(t, s.underLoad(t, cellOrders, urls, func(progress func(float64)) { f.do(t, s, r, progress) }))
	for _, p := range replicas {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// enter writes the cell's line, also after t.Fatal.
func (m *matrix) enter(t *testing.T, f fault, orders int, took time.Duration) {
	verdict := fmt.Sprintf("%d held", len(rules))
	if t.Failed() {
		verdict = "BROKEN"
		t.Logf("SEED=%d; the end of the shop's log:\n%s", m.seed, m.logs.end())
	}
	fmt.Fprintf(m.table, "%s\t%s\t%d\t%s\t%.1f\n", f.name, m.where, orders, verdict, took.Seconds())
	t.Logf("%s %s, %s: %d orders, rules: %s, %.1f s", m.number(f), m.where, f.name, orders, verdict, took.Seconds())
	if t.Failed() || f.alone != nil {
		m.close(t)
	}
}

func (m *matrix) number(f fault) string {
	return numbered(m.numbers[[2]string{m.where, f.name}], len(m.numbers))
}

// open returns the shop of the previous cell, or a new one.
func (m *matrix) open(t *testing.T, f fault) *shop {
	t.Helper()
	if s := m.shop; s != nil && f.alone == nil && m.tagged == f.tagged && len(s.taken) < tired {
		return s
	}
	m.close(t)
	m.logs = &journal{}
	var mix topology.Options
	if f.alone != nil {
		mix = f.alone(t)
	}
	if m.tagged = f.tagged; m.tagged {
		mix.Bin = failpointBin(t)
	}
	mix.Out = m.logs
	var err error
	m.shop, err = openForCell(t.Context(), m.where, mix)
	if err != nil {
		t.Fatal(err)
	}
	return m.shop
}

// openForCell starts a shop with short windows and much stock. One product stays scarce, so that
// some orders are rejected.
func openForCell(ctx context.Context, where string, mix topology.Options) (*shop, error) {
	switch where {
	case split:
		mix.Split = topology.Modules
	case halves:
		mix.Canary = "payments"
	}
	mix.Env = append(append([]string{}, cellWindows...), mix.Env...)
	s, err := open(ctx, mix)
	if err != nil {
		return nil, err
	}
	s.quiet = 20 * time.Second
	if where == halves {
		if err := s.weigh(ctx, "payments", 50); err != nil {
			return nil, errors.Join(err, s.end())
		}
	}
	_, err = s.admin.Exec(ctx, `UPDATE inventory.stock SET initial = initial + 1000000, on_hand = on_hand + 1000000 WHERE sku <> 'tea-gyokuro'`)
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// crowd sets the clients: so many without pauses, or the usual ones for 0.
func (s *shop) crowd(clients int) {
	s.clients, s.pause = cellClients, cellPause
	if clients > 0 {
		s.clients, s.pause = clients, 0
	}
}

func (m *matrix) close(t *testing.T) {
	t.Helper()
	if m.shop != nil {
		m.shop.close(t)
		m.shop = nil
	}
}

// replicate starts replicas, of the monolith or of services, and returns the clients' URLs.
func (s *shop) replicate(t *testing.T, where string, count int, r *rand.Rand) (replicas []*topology.Process, urls []string) {
	t.Helper()
	urls = []string{s.URL}
	first := r.IntN(len(topology.Modules))
	for i := range count {
		var p *topology.Process
		var err error
		if where != split {
			p, err = s.StartMonolith(t.Context(), 0)
		} else {
			p, err = s.StartService(t.Context(), topology.Modules[(first+i)%len(topology.Modules)])
		}
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, p)
		if where == monolith { // behind a façade a replica has no route, and only consumes
			urls = append(urls, p.URL)
		}
	}
	return replicas, urls
}
