package bench

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/lab/ask"
	"example.com/shop/lab/load"
)

// growing says how far each curve is followed.
type growing struct {
	size
	orders   []int // in the tables
	products []int
	modules  []int // that subscribe to one event
	kept     []kept
	asked    int // how often a page of orders
}

// kept is how many rows an outbox and an inbox have, and whether an old snapshot is held open.
type kept struct {
	rows int
	held bool
}

var (
	growsAMoment = growing{size: moment, orders: []int{100, 1000}, products: []int{20, 200}, modules: []int{2, 4}, kept: []kept{{100, false}, {3000, true}}, asked: 500}
	growsFully   = growing{
		size: size{deliverFor: 6 * time.Second, drained: 20_000, clients: full.clients, underWay: full.underWay, warmFor: 3 * time.Second, fillFor: 10 * time.Second,
			sustainFor: 15 * time.Second, paceFor: full.paceFor},
		orders: []int{10_000, 100_000, 1_000_000}, products: []int{1000, 10_000}, modules: []int{4, 16},
		kept: []kept{{10_000, false}, {2_000_000, false}, {2_000_000, true}}, asked: 500,
	}
)

// TestGrowth is make bench-long. The reference of each figure is the same at the first size of its
// curve, and the goal is a curve that is no steeper than a logarithm, as a B-tree's depth.
func TestGrowth(t *testing.T) {
	of := growsFully
	if !writing {
		long(t)
		t.Parallel()
		of = growsAMoment
	}
	b := newBench(t, of.size)
	sections := []section{b.growingOrders(t, of), b.growingProducts(t, of), b.growingModules(t, of), b.growingTables(t, of)}
	b.publish(t, "growth", "make bench-long", sections)
}

// grows compares a figure at one size with what it was at the first, and sets its goal.
func grows(what, unit string, from, to int, first, now figure) row {
	r := row{what: what, unit: unit, ours: now, beside: number(from), reference: first}
	most := math.Log(float64(to)) / math.Log(float64(from))
	if strings.HasSuffix(unit, "/s") {
		return r.least(1 / most)
	}
	return r.most(most)
}

// grown is what a shop does at one size.
type grown struct {
	saga
	pages load.Times
}

// look measures the shop as it is.
func (s *shop) look(t *testing.T, of growing) grown {
	t.Helper()
	return grown{saga: s.see(t), pages: s.pages(t, of.asked)}
}

// pages asks for the first page of a customer's orders.
func (s *shop) pages(t *testing.T, times int) (took load.Times) {
	t.Helper()
	list := ask.Request{URL: s.plan.URL + "/v1/orders", Token: s.plan.Tokens[0]}
	for range times {
		began := time.Now()
		if answer, err := list.Send(t.Context(), http.DefaultClient); err != nil || answer.Status != http.StatusOK {
			t.Fatalf("list orders: %d, %v", answer.Status, err)
		}
		took = append(took, time.Since(began))
	}
	return took
}

// curve is the section of a shop that grows.
type curve struct {
	section
	from  int // the first size
	first grown
}

// add compares what the shop does at a size with what it did at the first one.
func (c *curve) add(what string, size int, now grown) {
	c.how += fmt.Sprintf("\n\n%s: confirming as many as it can, %s; at %d/s, %s.", what, now.most.note(), pace, now.paced.note())
	if c.from == 0 {
		c.from, c.first = size, now
		return
	}
	c.rows = append(c.rows,
		grows(what+", confirmed", "orders/s", c.from, size, rate(c.first.most.rate()), rate(now.most.rate())),
		grows(fmt.Sprintf("%s, POST to confirmed at %d/s", what, pace), "ms", c.from, size, ms(c.first.paced.times), ms(now.paced.times)),
		grows(fmt.Sprintf("%s, an order at %d/s", what, pace), "ms of a core", c.from, size, c.first.paced.cost(), now.paced.cost()),
		grows(what+", a page of orders", "ms", c.from, size, ms(c.first.pages), ms(now.pages)))
}

// number is like 2,000,000.
func number(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", number(n/1000), n%1000)
}

func (b *bench) growingOrders(t *testing.T, of growing) section {
	t.Helper()
	c := curve{section: section{title: "Growth: orders in the tables", how: "The monolith, with so many orders that were confirmed, shipped, paid and mailed before. A ms of a core is processor time " +
		"of all that runs but the load, for each order."}}
	shop := b.start(t, "grown")
	defer shop.stop(t)
	before := 0
	for _, n := range of.orders {
		b.say("%s orders in the tables …", number(n))
		for _, fill := range load.Past(before+1, n) {
			run(t, shop.AdminURL, fill)
		}
		before = n
		run(t, shop.AdminURL, "VACUUM ANALYZE")
		c.add(number(n)+" orders", n, shop.look(t, of))
	}
	return c.section
}

func (b *bench) growingProducts(t *testing.T, of growing) section {
	t.Helper()
	c := curve{section: section{title: "Growth: products", how: "The monolith, with orders of so many products, in turn."}}
	shop := b.start(t, "assorted")
	defer shop.stop(t)
	for _, n := range of.products {
		b.say("%s products …", number(n))
		shop.assort(t, n)
		c.add(number(n)+" products", n, shop.look(t, of))
	}
	return c.section
}

func (b *bench) growingModules(t *testing.T, of growing) section {
	t.Helper()
	s := section{title: "Growth: modules that subscribe", how: "In one process, so many modules subscribe to the same event on the memory bus, each with an inbox of its own. From " +
		"commit to handler start counts to the last of them. A delivery is one event handled by one module."}
	var first struct{ times, drained figure }
	for i, n := range of.modules {
		b.say("%d modules that subscribe …", n)
		w := b.newWire(t, "modules", n)
		times, drained := ms(w.deliver(t, w.ours(), pace)), rate(w.drain(t, w.ours(), of.drained))
		w.drop(t)
		if i == 0 {
			first.times, first.drained = times, drained
			continue
		}
		s.rows = append(s.rows,
			grows(fmt.Sprintf("%d modules, commit to handler start at %d events/s", n, pace), "ms", of.modules[0], n, first.times, times),
			grows(fmt.Sprintf("%d modules, deliveries of a backlog", n), "events/s", of.modules[0], n, first.drained, drained))
	}
	return s
}

// growingTables lets an outbox and an inbox grow, while old rows are pruned, and then also holds a
// snapshot open, which keeps all that is deleted.
func (b *bench) growingTables(t *testing.T, of growing) section {
	t.Helper()
	c := curve{section: section{title: "Growth: outbox and inbox", how: "The monolith, with so many rows in the outbox of orders and in the inbox of inventory, half of which are " +
		"older than they are kept: the process begins to prune them when it starts, and is measured from then on. An old snapshot is that of a transaction which was " +
		"open elsewhere since before, so that nothing deleted or changed can be cleaned up."}}
	for _, point := range of.kept {
		what := number(point.rows) + " rows"
		if point.held {
			what += " and an old snapshot"
		}
		b.say("%s …", what)
		c.add(what, point.rows, b.keep(t, of, point))
	}
	return c.section
}

func (b *bench) keep(t *testing.T, of growing, point kept) grown {
	t.Helper()
	shop := b.start(t, "kept")
	defer shop.stop(t)
	p := shop.Processes()[0]
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	run(t, shop.AdminURL, fmt.Sprintf(`
		INSERT INTO orders.outbox (id, topic, key, payload, headers, created_at)
		SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || lpad(to_hex(n), 20, '0'))::uuid, 'orders.placed.v1', n::text, jsonb_build_object('note', repeat('x', 300)), '{}', at
		FROM (SELECT n, now() - CASE WHEN n * 2 < %[1]d THEN interval '30 days' ELSE interval '1 hour' END AS at FROM generate_series(1, %[1]d) AS n) AS past;
		INSERT INTO inventory.inbox (event_id, topic, handled_at) SELECT id, topic, created_at FROM orders.outbox`, point.rows))
	// Not the empty tables: autovacuum would leave them without statistics, too.
	run(t, shop.AdminURL, "VACUUM ANALYZE orders.outbox, inventory.inbox")
	if point.held {
		tx, err := shop.admin.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = tx.Rollback(t.Context()) }()
		if _, err := tx.Exec(t.Context(), "SELECT count(*) FROM orders.orders"); err != nil { // now it has its snapshot
			t.Fatal(err)
		}
	}
	if err := shop.Restart(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return shop.look(t, of)
}
