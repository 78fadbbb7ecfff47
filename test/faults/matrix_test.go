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

	"example.com/shop/topology"
)

// The topologies of the matrix.
const (
	monolith = "monolith"
	split    = "split" // a process for each module
)

// fault is a row of the matrix: what is done to a running shop while customers order. When it is over, the shop has to be as if it had
// never been, and every rule has to hold.
type fault struct {
	name     string
	only     string                              // the topology that it is possible in; both when empty
	smoke    []string                            // the topologies that make test runs it in; make long SUITE=faults runs it in all
	tagged   bool                                // it needs the binaries with failpoints
	replicas int                                 // how many processes more serve the same schemas
	clients  int                                 // how many more of them than usual, who do not rest
	alone    func(t *testing.T) topology.Options // it needs a shop of its own, such as this
	needs    func() error                        // says why it cannot be done here
	do       func(t *testing.T, s *shop, r *rand.Rand, progress func(share float64))
}

// Each cell has at least so many orders, from so many clients who rest for so long between two orders.
const (
	cellOrders  = 300
	cellClients = 16
	cellPause   = 50 * time.Millisecond
)

// tired is how many orders a shop may have before the next cell gets a new one: what asks for all of them again and again gets slow.
const tired = 4000

// cellWindows are the shortest that the modules allow: a fault of three seconds outlasts every lease and every wait for an
// acknowledgement, and what can only be waited for does not take long.
var cellWindows = []string{
	"ORDERS_DEADLINE=4s", "PAYMENTS_LEASE=1s", "PAYMENTS_QUIET=1500ms", "PAYMENTS_BACKOFF_MOST=500ms",
	"NATS_ACK_WAIT=1s", "NATS_NAK_DELAY=200ms", "NOTIFICATIONS_SEND_TIMEOUT=1s", "NOTIFICATIONS_LEASE=2s",
}

// outlasts is longer than all of them, but for the deadline.
const outlasts = 3 * time.Second

// TestMatrix does every fault to every topology.
//
// SEED decides the moments, as shares of the load, how long each wait is, the victims, and what the clients of the history choose; the load
// orders the same in every run. It does not decide who runs when: what a process is doing at such a moment, and which orders, events and
// sessions there are, is the machine's. So a seed repeats the plan of a run, and a failure only as far as that depends on it.
func TestMatrix(t *testing.T) {
	seed := seedOf(t)
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FAULT\tTOPOLOGY\tORDERS\tRULES\tSECONDS")
	numbers := numberCells()
	for _, where := range []string{monolith, split} {
		t.Run(where, func(t *testing.T) {
			m := &matrix{where: where, seed: seed, table: table, numbers: numbers}
			defer m.close(t)
			for _, f := range faults {
				if f.only == "" || f.only == where {
					t.Run(f.name, func(t *testing.T) { m.run(t, f) })
				}
			}
		})
	}
	_ = table.Flush()
	t.Logf("SEED=%d\n%s", seed, report.String())
}

// numberCells gives each cell of this run its number, by its topology and name. What -run leaves out keeps its own.
func numberCells() map[[2]string]int {
	numbers := map[[2]string]int{}
	for _, where := range []string{monolith, split} {
		for _, f := range faults {
			if (f.only == "" || f.only == where) && (os.Getenv("SHOP_LONG") != "" || slices.Contains(f.smoke, where)) {
				numbers[[2]string{where, f.name}] = len(numbers) + 1
			}
		}
	}
	return numbers
}

// numbered is the beginning of the line that closes a cell or a control, such as [ 3/61].
func numbered(number, total int) string {
	return fmt.Sprintf("[%*d/%d]", len(strconv.Itoa(total)), number, total)
}

// anySeed is the same for all of a run.
var anySeed = rand.Uint64N(1_000_000)

// seedOf is SEED, or any number.
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

// chance is what the cell chooses by. Cells that are added or left out change nothing for the others.
func chance(seed uint64, cell string) *rand.Rand {
	name := fnv.New64a()
	_, _ = name.Write([]byte(cell))
	return rand.New(rand.NewPCG(seed, name.Sum64()))
}

// matrix runs the cells of a topology, one after the other, on one shop for as long as that stays healthy.
type matrix struct {
	where   string
	seed    uint64
	table   *tabwriter.Writer
	numbers map[[2]string]int // of the cells of both topologies

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
	report(t, s.underLoadOf(t, cellOrders, urls, func(progress func(float64)) { f.do(t, s, r, progress) }))
	for _, p := range replicas {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// enter writes the cell's line, also when the cell was given up.
func (m *matrix) enter(t *testing.T, f fault, orders int, took time.Duration) {
	verdict := fmt.Sprintf("%d held", len(rules))
	if t.Failed() {
		verdict = "BROKEN"
		t.Logf("SEED=%d; the shop's log ends so:\n%s", m.seed, m.logs.end())
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

// open returns the shop of the cell before, or a new one.
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

// openForCell starts a shop of short windows and full shelves. One product stays scarce, so that some orders are rejected.
func openForCell(ctx context.Context, where string, mix topology.Options) (*shop, error) {
	if where == split {
		mix.Split = topology.Modules
	}
	mix.SlowPayment = 5 * time.Second
	mix.Env = append(append([]string{}, cellWindows...), mix.Env...)
	s, err := open(ctx, mix)
	if err != nil {
		return nil, err
	}
	s.quiet = 20 * time.Second
	_, err = s.admin.Exec(ctx, `UPDATE inventory.stock SET initial = initial + 1000000, on_hand = on_hand + 1000000 WHERE sku <> 'tea-gyokuro'`)
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// crowd chooses how many clients there are: so many who do not rest, or for 0 the usual ones.
func (s *shop) crowd(restless int) {
	s.clients, s.pause = cellClients, cellPause
	if restless > 0 {
		s.clients, s.pause = restless, 0
	}
}

func (m *matrix) close(t *testing.T) {
	t.Helper()
	if m.shop != nil {
		m.shop.close(t)
		m.shop = nil
	}
}

// replicate starts so many replicas more, of the monolith or of services, and returns where clients may order then.
func (s *shop) replicate(t *testing.T, where string, count int, r *rand.Rand) (replicas []*topology.Process, urls []string) {
	t.Helper()
	urls = []string{s.URL}
	first := r.IntN(len(topology.Modules))
	for i := range count {
		var p *topology.Process
		var err error
		if where == monolith {
			p, err = s.StartMonolith(t.Context(), 0)
		} else {
			p, err = s.StartService(t.Context(), topology.Modules[(first+i)%len(topology.Modules)])
		}
		if err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, p)
		if where == monolith { // a service's replica is behind nobody's route, and only consumes
			urls = append(urls, p.URL)
		}
	}
	return replicas, urls
}
