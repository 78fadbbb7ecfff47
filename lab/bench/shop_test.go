package bench

import (
	"fmt"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/topology"
)

// shop is a running shop with its shelves full, and an admin's view into its database.
type shop struct {
	*topology.System
	name     string
	bench    *bench
	admin    *pgxpool.Pool
	plan     load.Plan      // without its pace and its end
	composed *child.Process // in the place of the shop's own; nil but for a shop that is composed here
}

// customers order in turn: so many that none is limited.
const customers = 1000

// start starts a shop that logs as in production. Its name is also its database's. The shop may be
// that of another commit, so nothing but HTTP, and SQL that is the same in both, may be used on it.
func (b *bench) start(t *testing.T, name string, split ...string) *shop {
	t.Helper()
	running, err := topology.Start(t.Context(), topology.Options{
		Bin: b.bin, Out: t.Output(), Split: split, DatabaseURL: b.databaseURL(t, name), RolePrefix: name + "_",
		Env: []string{"LOG_LEVEL=warn", "HTTP_CALLER_RATE=1000000"}, // a client here is one of many callers
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{System: running, name: name, bench: b}
	if s.admin, err = pgxpool.New(t.Context(), s.AdminURL); err != nil {
		t.Fatal(err)
	}
	run(t, s.AdminURL, notifyEnds)
	// Nothing is sold out in a run.
	run(t, s.AdminURL, "UPDATE inventory.stock SET restocked = restocked + 1000000000, on_hand = on_hand + 1000000000")
	s.plan = load.Plan{URL: s.URL}
	for c := range customers {
		s.plan.Tokens = append(s.plan.Tokens,
			s.Key.Mint(tokens.Claims{Role: "customer", Subject: fmt.Sprintf("customer-%d", c)}))
	}
	if s.plan.SKUs, err = (load.Shop{URL: s.URL}).SKUs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// assort has orders be of so many products, in turn.
func (s *shop) assort(t *testing.T, products int) {
	t.Helper()
	run(t, s.AdminURL, fmt.Sprintf(`
		INSERT INTO inventory.products (sku, name, price, currency)
		SELECT 'product-' || n, 'Product ' || n, 1000 + n, 'EUR' FROM generate_series(1, %[1]d) AS n ON CONFLICT DO NOTHING;
		INSERT INTO inventory.stock (sku, initial, on_hand)
		SELECT 'product-' || n, 1000000000, 1000000000 FROM generate_series(1, %[1]d) AS n ON CONFLICT DO NOTHING;
		ANALYZE inventory.products, inventory.stock`, products))
	s.plan.SKUs = nil
	for p := range products {
		s.plan.SKUs = append(s.plan.SKUs, fmt.Sprintf("product-%d", p+1))
	}
}

// stop ends the shop and drops its database, so that nothing of it goes on beside the next.
func (s *shop) stop(t *testing.T) {
	t.Helper()
	s.admin.Close()
	if s.composed != nil {
		if err := s.composed.Stop(patience); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	run(t, s.bench.server.URL(), "DROP DATABASE "+s.name+" WITH (FORCE)")
}

// running are the shop's own processes; those in whose place a composed shop runs are stopped.
func (s *shop) running() []*topology.Process {
	if s.composed != nil {
		return nil
	}
	return s.Processes()
}

// databaseURL is the superuser's, in a database of the run's server.
func (b *bench) databaseURL(t *testing.T, name string) string {
	t.Helper()
	u, err := url.Parse(b.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// confirmed is what became of the orders of a run.
type confirmed struct {
	times              load.Times // from when the POST was due until the order was confirmed
	used               usage      // from the first order until what follows from the last is done and vacuumed
	wrote              written    // meanwhile, but for that vacuum
	refused, cancelled int        // orders, by a shop that has too much to do: part of what is measured
	ended              int        // orders, cancelled or confirmed
	overloaded         bool       // at a steady rate: more came than it can confirm

	// Of a run for the most.
	filled time.Duration // what the shop was given to fill up
	window time.Duration // after that, in which confirmed orders are counted
	within int           // how many
}

// steady says that orders were under way for no longer than the shop was given to fill up before
// the window.
func (c confirmed) steady() bool { return c.within > 0 && c.times.At(50) <= c.filled }

// rate is how many orders a second were confirmed; 0 when they were under way for so long that a
// rate would only say how the queue grew.
func (c confirmed) rate() float64 {
	if !c.steady() {
		return 0
	}
	return float64(c.within) / c.window.Seconds()
}

// cost is how long an order keeps one core busy, in milliseconds, whatever works for it, but for
// the load. Where all cores are used, it is what limits the shop.
func (c confirmed) cost() figure { return figure{value: 1000 * c.used.seconds() / float64(c.ended)} }

// order is what PostgreSQL writes for one.
func (c confirmed) order() written { return c.wrote.each(c.ended) }

// note is what figures alone do not say.
func (c confirmed) note() string {
	return fmt.Sprintf("%s; together %.2f of %d cores; %d orders refused, %d cancelled%s",
		c.used, (c.used.seconds()+c.used.load)/c.used.took, runtime.NumCPU(), c.refused, c.cancelled, c.unsteady())
}

// unsteady says why there is no rate, or why the times mean nothing; nothing when all is well.
func (c confirmed) unsteady() string {
	switch {
	case c.overloaded:
		return "; more came than it can confirm, so its times only say how the queue grew"
	case c.window == 0 || c.steady():
		return ""
	case c.within == 0:
		return fmt.Sprintf("; it has no rate, as nothing was confirmed within %s", c.window)
	}
	return fmt.Sprintf("; it has no rate, as it was in no steady state: the median order was under way for %s, more than the "+
		"%s it had to fill up", c.times.At(50).Round(time.Millisecond), c.filled)
}

// most confirms as many orders as it can, under so many times the usual load. They are counted in
// that window, by the clock, once the shop has filled up for so long.
func (s *shop) most(t *testing.T, times int, fill, window time.Duration) confirmed {
	t.Helper()
	w := work{Plan: s.plan, UnderWay: times * s.bench.underWay}
	w.Clients, w.For = times*s.bench.clients, fill+window
	c, all := s.confirm(t, w)
	c.filled, c.window = fill, window
	for _, o := range all {
		if o.Confirmed >= fill && o.Confirmed < fill+window {
			c.within++
			c.times = append(c.times, o.Confirmed-o.Due)
		}
	}
	return c
}

// paced confirms orders that come at a steady rate.
func (s *shop) paced(t *testing.T, d time.Duration) confirmed {
	t.Helper()
	w := work{Plan: s.plan}
	w.Rate, w.For = pace, d
	c, all := s.confirm(t, w)
	for _, o := range all {
		c.times = append(c.times, o.Confirmed-o.Due)
	}
	c.overloaded = c.times.At(50) > d/6
	return c
}

// confirm places orders and follows each until it has ended. Nothing of a run before goes on beside
// it, and it is over when all of it is done: what an order costs includes its parcel, its mail, and
// what autovacuum has left to do when the run ends, and would do later.
func (s *shop) confirm(t *testing.T, w work) (c confirmed, all []journey) {
	t.Helper()
	w.Follow = s.AdminURL
	before, meter := s.written(t), s.meter(t)
	o, busy := s.load(t, w)
	s.settle(t)
	c.wrote = s.written(t).since(before)
	run(t, s.AdminURL, "VACUUM")
	c.used = meter.stop(t, busy)
	c.refused, c.cancelled, c.ended = len(o.Refused), o.Cancelled, o.Cancelled+len(o.Confirmed)
	return c, o.Confirmed
}

// settle waits until everything is shipped, and the modules have done nothing for a moment, so that
// no mail is left. It does not ask their tables, which are not the same in every commit. The moment
// is longer than events linger, and shorter than the gaps between some fifteen polls a second:
// those keep their phases, and with a longer one stock was waited for by minutes, which its CPU
// paid for.
func (s *shop) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var settled bool
		err := s.admin.QueryRow(t.Context(), `SELECT (SELECT sum(reserved) FROM inventory.stock) = 0
			AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename LIKE '%\_rt'
				AND (state <> 'idle' OR state_change > clock_timestamp() - interval '75 ms'))`).Scan(&settled)
		switch {
		case err != nil:
			t.Fatal(err)
		case settled:
			return
		case time.Now().After(deadline):
			t.Fatalf("not everything is shipped and mailed within %s", patience)
		}
	}
}
