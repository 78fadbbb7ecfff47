package bench

import (
	"fmt"
	"testing"
	"time"

	"example.com/shop/load"
	"example.com/shop/topology"
)

// saga is what a shop does with orders: as many as it can, and a hundred a second.
type saga struct {
	most, paced confirmed
}

const (
	placers = 32  // clients that place as many as are admitted
	pace    = 100 // orders/s
)

// see measures a shop that has just started.
func (s *shop) see(t *testing.T, sustain time.Duration) saga {
	t.Helper()
	s.most(t, 0, s.bench.warmFor)
	return saga{paced: s.paced(t, s.bench.paceFor), most: s.most(t, s.bench.fillFor, sustain)}
}

// confirming measures the whole saga in the monolith, in four services, and on the stock path.
func (b *bench) confirming(t *testing.T) []section {
	t.Helper()
	see := func(s *shop, sustain time.Duration) saga {
		b.say("Orders confirmed, %s …", s.name)
		for _, p := range s.running() {
			b.say("  go tool pprof %s/debug/pprof/profile says where the time of %s goes", p.OpsURL, p.Name)
		}
		defer s.stop(t)
		return s.see(t, sustain)
	}
	monolith := see(b.start(t, "monolith", nil), b.sustainFor)
	split := see(b.start(t, "split", topology.Modules), b.sustainFor)
	stock := see(b.startStock(t), b.sustainFor/2)

	most := section{title: "Orders confirmed per second", how: fmt.Sprintf("Over HTTP, with at most %d orders under way: each order that is confirmed lets the "+
		"next one in. Counted are those that are confirmed within %s (of the stock path, half of that), once it has filled up for %s. All split is four "+
		"services over JetStream, which syncs each message, behind the façade. The stock path is the same modules, routes, handlers and workers in one "+
		"process, but between them watermill's forwarder and watermill-sql, with polls every %s, and one transaction per event with its inbox row. The raw "+
		"limit is the most that pgx or pgbench placed above.\n\n"+
		"An order that is only placed is one transaction of five rows. One that is confirmed is five events told, seven effects of events, a call to the "+
		"provider and a mail as well. A ms of a core is processor time of all that runs, but for autovacuum's, from the first order until all that follows "+
		"from the last is done, for each order; so are the transactions and the write-ahead log.",
		underWay, b.sustainFor, b.fillFor, stockPoll)}
	of, all := monolith.most, split.most
	most.rows = []row{
		row{what: "monolith", unit: "orders/s", ours: rate(of.rate()), beside: "stock path", reference: rate(stock.most.rate())}.least(5),
		row{what: "monolith", unit: "orders/s", ours: rate(of.rate()), beside: "raw limit", reference: rate(b.raw)}.least(0.35),
		row{what: "all split", unit: "orders/s", ours: rate(all.rate()), beside: "monolith", reference: rate(of.rate())}.least(0.5),
		{what: "stock path", unit: "orders/s", ours: rate(stock.most.rate()), beside: "raw limit", reference: rate(b.raw)},
		{what: "monolith, POST to confirmed", unit: "ms", ours: ms(of.times), beside: "stock path", reference: ms(stock.most.times)},
		{what: "all split, POST to confirmed", unit: "ms", ours: ms(all.times), beside: "monolith", reference: ms(of.times)},
		{what: "monolith, an order", unit: "ms of a core", ours: of.cost(), beside: "stock path", reference: stock.most.cost()},
		{what: "all split, an order", unit: "ms of a core", ours: all.cost(), beside: "monolith", reference: of.cost()},
	}
	most.rows = append(most.rows, of.order().beside("monolith, an order", "only placed", b.bare)...)
	most.rows = append(most.rows, all.order().beside("all split, an order", "monolith", of.order())...)

	paced := section{title: fmt.Sprintf("From POST to confirmed, at %d orders/s", pace), how: "From when the POST was due until PostgreSQL tells, by NOTIFY from a " +
		"trigger, that the transaction which confirmed the order has committed; both ends are read from one clock."}
	of, all = monolith.paced, split.paced
	paced.rows = []row{
		row{what: "monolith", unit: "ms", ours: ms(of.times), beside: "stock path", reference: ms(stock.paced.times)}.within(8, 0),
		row{what: "all split", unit: "ms", ours: ms(all.times), beside: "monolith", reference: ms(of.times)}.within(12, 0),
		{what: "monolith, an order", unit: "ms of a core", ours: of.cost(), beside: "stock path", reference: stock.paced.cost()},
		{what: "all split, an order", unit: "ms of a core", ours: all.cost(), beside: "monolith", reference: of.cost()},
	}
	paced.rows = append(paced.rows, of.order().beside("monolith, an order", "only placed", b.bare)...)
	paced.rows = append(paced.rows, all.order().beside("all split, an order", "monolith", of.order())...)
	for _, of := range []struct {
		name string
		saga
	}{{"monolith", monolith}, {"all split", split}, {"stock path", stock}} {
		most.how += fmt.Sprintf("\n\nMeanwhile, %s: %s.", of.name, of.most.note())
		paced.how += fmt.Sprintf("\n\nMeanwhile, %s: %s.", of.name, of.paced.note())
	}
	return []section{most, paced}
}

func TestRate(t *testing.T) {
	t.Parallel()
	soon, late := load.Times{time.Second}, load.Times{4 * time.Second}
	for name, test := range map[string]struct {
		confirmed
		rate float64
	}{
		"steady":             {confirmed{times: soon, within: 90, filled: time.Second, window: 9 * time.Second}, 10},
		"a queue that grows": {confirmed{times: late, within: 90, filled: time.Second, window: 9 * time.Second}, 0},
		"nothing":            {confirmed{window: 9 * time.Second}, 0},
	} {
		if got := test.confirmed.rate(); got != test.rate || (got == 0) == (test.unsteady() == "") {
			t.Errorf("%s: %v orders/s%s", name, got, test.unsteady())
		}
	}
}
