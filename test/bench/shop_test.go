package bench

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
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
	times              load.Times    // from when the POST was due until the order was seen to be confirmed
	within             int           // how many of them while orders were placed
	took               time.Duration // placing
	used               usage         // by each process meanwhile
	refused, cancelled int           // orders, by a shop that has more to do than it can: part of what is measured, and no failure of the test
}

func (c confirmed) rate() float64 { return float64(c.within) / c.took.Seconds() }

// underWay is how many orders may be placed and not confirmed at the same time when the most is asked for. The shop takes orders faster than it
// sees them through, and without a limit it would be measured how fast a queue grows. It is what a minute can be sustained with.
const underWay = 512

// confirm places orders by the plan and watches each until it is confirmed. The watch asks PostgreSQL for those that are under way, every so
// often: GET requests would be most of the load. So a time is too long by up to that pause and never too short, and both of its ends are read
// from the same clock. Limit is underWay, or 0 for none.
func (s *shop) confirm(t *testing.T, plan load.Plan, limit int, every time.Duration) confirmed {
	t.Helper()
	w := &watch{pending: map[string]time.Time{}}
	if limit > 0 {
		w.slots = make(chan struct{}, limit)
		plan.Admit = func() bool { return w.admit(t.Context()) }
	}
	enough, watched := make(chan struct{}), make(chan error, 1)
	go func() { watched <- w.run(t.Context(), s.admin, every, enough) }()

	meter := s.meter(t)
	refused := 0
	began := time.Now()
	err := plan.Run(t.Context(), func(o load.Order) {
		if o.Err != nil {
			refused++
			t.Logf("refused: %v", o.Err)
			w.release()
			return
		}
		w.add(o)
	})
	took := time.Since(began)
	used := meter.stop(t)
	within := w.count()
	close(enough)
	if err := errors.Join(err, <-watched); err != nil {
		t.Fatal(err)
	}
	return confirmed{times: w.times, within: within, took: took, used: used, refused: refused, cancelled: w.cancelled}
}

// watch sees orders through.
type watch struct {
	slots chan struct{} // nil without a limit

	mu        sync.Mutex
	pending   map[string]time.Time // when each order was due
	times     load.Times
	cancelled int
}

// patience is how long a run waits for its last orders.
const patience = 2 * time.Minute

// admit waits for a slot.
func (w *watch) admit(ctx context.Context) bool {
	select {
	case w.slots <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-time.After(patience):
	}
	return false
}

func (w *watch) release() {
	if w.slots != nil {
		<-w.slots
	}
}

func (w *watch) add(o load.Order) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[o.ID] = o.Due
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.times)
}

// run asks until enough is closed and nothing is pending any more.
func (w *watch) run(ctx context.Context, db *pgxpool.Pool, every time.Duration, enough <-chan struct{}) error {
	var deadline time.Time
	for {
		ids := w.ids()
		select {
		case <-enough:
			if deadline.IsZero() {
				deadline = time.Now().Add(patience)
			}
			if len(ids) == 0 {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("%d orders have not ended within %s", len(ids), patience)
			}
		default:
		}
		if len(ids) > 0 {
			if err := w.ask(ctx, db, ids); err != nil {
				return err
			}
		}
		time.Sleep(every)
	}
}

func (w *watch) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, len(w.pending))
	for id := range w.pending {
		ids = append(ids, id)
	}
	return ids
}

func (w *watch) ask(ctx context.Context, db *pgxpool.Pool, ids []string) error {
	rows, err := db.Query(ctx, `SELECT id::text, status FROM orders.orders
		WHERE id = ANY ($1::uuid[]) AND status IN ('confirmed', 'cancelled')`, ids)
	if err != nil {
		return err
	}
	type ended struct{ ID, Status string }
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ended])
	if err != nil {
		return err
	}
	now := time.Now() // they were visible before that
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range all {
		if o.Status == "confirmed" {
			w.times = append(w.times, now.Sub(w.pending[o.ID]))
		} else {
			w.cancelled++
		}
		delete(w.pending, o.ID)
		w.release()
	}
	return nil
}
