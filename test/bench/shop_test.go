package bench

import (
	"context"
	"fmt"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/load"
	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/topology"
)

// shop is a running shop with its shelves full, and an admin's view into its database.
type shop struct {
	*topology.Shop
	name  string
	bench *bench
	admin *pgxpool.Pool
	plan  load.Plan      // without its pace and its end
	stock *child.Process // in the place of the shop's own; nil but for the reference
}

// customers order in turn.
const customers = 32

// start starts a shop that logs as in production. Its name is also its database's.
func (b *bench) start(t *testing.T, name string, split []string, env ...string) *shop {
	t.Helper()
	running, err := topology.Start(t.Context(), topology.Options{
		Bin: bin, Out: t.Output(), Split: split, DatabaseURL: b.databaseURL(t, name), RolePrefix: name + "_",
		Env: append([]string{"LOG_LEVEL=warn"}, env...),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{Shop: running, name: name, bench: b}
	if s.admin, err = pgxpool.New(t.Context(), s.AdminURL); err != nil {
		t.Fatal(err)
	}
	run(t, s.AdminURL, tellEnds)
	// Nothing is sold out in a run.
	run(t, s.AdminURL, "UPDATE inventory.stock SET restocked = restocked + 1000000000, on_hand = on_hand + 1000000000")
	s.plan = load.Plan{URL: s.URL}
	for c := range customers {
		s.plan.Tokens = append(s.plan.Tokens, s.Key.Mint(tokens.Claims{Role: "customer", Subject: fmt.Sprintf("customer-%d", c)}))
	}
	if s.plan.SKUs, err = (load.Shop{URL: s.URL}).SKUs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// stop ends the shop and drops its database, so that nothing of it goes on beside the next.
func (s *shop) stop(t *testing.T) {
	t.Helper()
	s.admin.Close()
	if s.stock != nil {
		if err := s.stock.Stop(patience); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	run(t, s.bench.server.URL(), "DROP DATABASE "+s.name+" WITH (FORCE)")
}

// running are the shop's own processes; those in whose place the stock shop runs are stopped.
func (s *shop) running() []*topology.Process {
	if s.stock != nil {
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
	times              load.Times // from when the POST was due until the order was heard to be confirmed
	used               usage      // by each process, from the first order until all that follows from the last is done
	wrote              written    // meanwhile
	refused, cancelled int        // orders, by a shop that has more to do than it can: part of what is measured, and no failure of the test
	ended              int        // orders, cancelled or confirmed
	overloaded         bool       // at a steady rate: more came than it can confirm

	// Of a run for the most.
	filled time.Duration // what the shop was given to fill up
	window time.Duration // after that, in which confirmed orders are counted
	within int           // how many
}

// steady says that orders were under way for no longer than the shop was given to fill up before the window.
func (c confirmed) steady() bool { return c.within > 0 && c.times.At(50) <= c.filled }

// rate is how many orders a second were confirmed; 0 when they were under way for so long that a rate would only say how the queue grew.
func (c confirmed) rate() float64 {
	if !c.steady() {
		return 0
	}
	return float64(c.within) / c.window.Seconds()
}

// cost is how long an order keeps one core busy, in milliseconds, whoever of all works for it. Where all cores are used, it is what limits the shop.
func (c confirmed) cost() figure { return figure{value: 1000 * c.used.seconds() / float64(c.ended)} }

// order is what PostgreSQL writes for one.
func (c confirmed) order() written { return c.wrote.each(c.ended) }

// note is what figures alone do not say.
func (c confirmed) note() string {
	return fmt.Sprintf("%s; together %.2f of %d cores; %d orders refused, %d cancelled%s",
		c.used, c.used.seconds()/c.used.took, runtime.NumCPU(), c.refused, c.cancelled, c.unsteady())
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
	return fmt.Sprintf("; it has no rate, as it was in no steady state: the median order was under way for %s, more than the %s it had to fill up",
		c.times.At(50).Round(time.Millisecond), c.filled)
}

// underWay is how many orders may be placed and not confirmed at the same time when the most is asked for. The shop takes orders faster than it
// sees them through, and without a limit it would be measured how fast a queue grows.
const underWay = 512

// most confirms as many orders as it can. They are counted in that window, by the clock, once the shop has filled up for so long.
func (s *shop) most(t *testing.T, fill, window time.Duration) confirmed {
	t.Helper()
	plan := s.plan
	plan.Clients, plan.For = placers, fill+window
	w := &watch{slots: make(chan struct{}, underWay)}
	opens := time.Now().Add(fill)
	c := s.confirm(t, plan, w)
	c.filled, c.window = fill, window
	for _, o := range w.confirmed {
		if after := o.heard.Sub(opens); after >= 0 && after < window {
			c.within++
			c.times = append(c.times, o.heard.Sub(o.due))
		}
	}
	return c
}

// paced confirms orders that come at a steady rate.
func (s *shop) paced(t *testing.T, d time.Duration) confirmed {
	t.Helper()
	plan := s.plan
	plan.Rate, plan.For = pace, d
	w := &watch{}
	c := s.confirm(t, plan, w)
	for _, o := range w.confirmed {
		c.times = append(c.times, o.heard.Sub(o.due))
	}
	c.overloaded = c.times.At(50) > d/6
	return c
}

// confirm places orders by the plan and watches each until it has ended. Nothing of a run before goes on beside it, and it is over when all of it
// is done: what an order costs includes its parcel and its mail.
func (s *shop) confirm(t *testing.T, plan load.Plan, w *watch) (c confirmed) {
	t.Helper()
	before, meter := s.written(t), s.meter(t)
	err := s.watching(t.Context(), w, func(ctx context.Context) error {
		plan.Admit = func() bool { return w.admit(ctx) }
		return plan.Run(ctx, func(o load.Order) {
			if o.Err != nil {
				c.refused++
				t.Logf("refused: %v", o.Err)
				w.release()
				return
			}
			w.placed(o)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	s.settle(t)
	c.used, c.wrote = meter.stop(t), s.written(t).since(before)
	c.cancelled, c.ended = w.cancelled, w.cancelled+len(w.confirmed)
	return c
}

// settle waits until everything is told, shipped and mailed.
func (s *shop) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		var settled bool
		err := s.admin.QueryRow(t.Context(), `SELECT (SELECT sum(reserved) FROM inventory.stock) = 0
			AND NOT EXISTS (SELECT FROM notifications.messages WHERE status = 'pending')
			AND NOT EXISTS (SELECT FROM orders.outbox WHERE published_at IS NULL)`).Scan(&settled)
		switch {
		case err != nil:
			t.Fatal(err)
		case settled:
			return
		case time.Now().After(deadline):
			t.Fatalf("not everything is told, shipped and mailed within %s", patience)
		}
	}
}
