package bench

import (
	"fmt"
	"testing"
	"time"

	"example.com/shop/lab/load"
	"example.com/shop/tools/topology"
)

// saga is what a shop does with orders: as many as it can, and a hundred a second.
type saga struct {
	name        string
	most, paced confirmed
}

const (
	pace       = 100 // orders/s
	assortment = 300 // products, beside the dozen that a shop begins with
)

// see measures a shop that has just started.
func (s *shop) see(t *testing.T) saga {
	t.Helper()
	b := s.bench
	s.most(t, 1, 0, b.warmFor)
	run(t, s.AdminURL, "ANALYZE")
	return saga{name: s.name, paced: s.paced(t, b.paceFor), most: s.most(t, 1, b.fillFor, b.sustainFor)}
}

// confirming measures the whole saga in the monolith, in four services, and on the stock paths.
func (b *bench) confirming(t *testing.T) []section {
	t.Helper()
	see := func(s *shop, more ...func(s *shop)) saga {
		defer s.stop(t)
		b.say("Orders confirmed, %s …", s.name)
		for _, p := range s.running() {
			b.say("  go tool pprof %s/debug/pprof/profile says where the time of %s goes", p.OpsURL, p.Name)
		}
		seen := s.see(t)
		for _, f := range more {
			f(s)
		}
		return seen
	}
	var doubled, assorted confirmed
	monolith := see(b.start(t, "monolith"), func(s *shop) {
		b.say("… with twice the load, and with %d products …", assortment)
		doubled = s.most(t, 2, b.fillFor, b.sustainFor)
		s.assort(t, assortment)
		assorted = s.most(t, 1, b.fillFor, b.sustainFor)
	})
	split := see(b.start(t, "split", topology.Modules...))
	stock, fair := see(b.compose(t, stockPath)), see(b.compose(t, fairerPath))

	most := section{title: "Orders confirmed per second", how: fmt.Sprintf("Over HTTP, from %d clients, with at most %d orders "+
		"under way: each order that is confirmed lets the next one in. Counted are those that are confirmed within %s, once "+
		"the shop has filled up for %s; before that it has warmed up, and ANALYZE has run. All split is four services over "+
		"JetStream, which syncs each message, behind the façade. The stock path is the same modules, routes, handlers and "+
		"workers in one process, but between them watermill's forwarder and watermill-sql, with polls every %s, and one "+
		"transaction per event with its inbox row; a trigger writes what a module publishes into watermill's outbox. On the "+
		"fairer path watermill's own publisher does that, in the module's transaction and without a round trip more; the "+
		"outboxes are watermill's queues, which delete what is acknowledged, and what all have acknowledged of a topic is "+
		"deleted every second. The raw limits are those of placing an order, above.\n\n"+
		"An order that is only placed is one transaction of five rows. One that is confirmed is five events published, seven "+
		"effects of events, a call to the provider and a mail as well. A ms of a core is processor time of all that runs but "+
		"the load, from the first order until all that follows from the last is done, for each order; with it is "+
		"autovacuum's, and that of a VACUUM at the end, which does what autovacuum would do later. So are the transactions "+
		"and the write-ahead log, but for that VACUUM.", b.clients, b.underWay, b.sustainFor, b.fillFor, stockPoll)}
	of, all := monolith.most, split.most
	placed, placedWAL := of.order().beside("monolith, an order", "only placed", b.rawWrote)
	splitPlaced, splitWAL := all.order().beside("all split, an order", "monolith", of.order())
	rates := func(what string, of confirmed, beside string, reference float64) row {
		return row{what: what, unit: "orders/s", ours: rate(of.rate()), beside: beside, reference: rate(reference)}
	}
	times := func(what string, of confirmed, beside string, reference figure) row {
		return row{what: what + ", POST to confirmed", unit: "ms", ours: ms(of.times), beside: beside, reference: reference}
	}
	costs := func(what string, of confirmed, beside string, reference confirmed) row {
		return row{what: what + ", an order", unit: "ms of a core", ours: of.cost(), beside: beside, reference: reference.cost()}
	}
	most.rows = []row{
		rates("monolith", of, "stock path", stock.most.rate()).least(8),
		rates("monolith", of, "fairer path", fair.most.rate()).least(6),
		rates("monolith", of, "raw limit", b.raw.rate()).least(0.5),
		rates("monolith", of, "raw limit, pipelined", b.piped.rate()),
		rates("all split", all, "monolith", of.rate()).least(0.5),
		rates("stock path", stock.most, "raw limit", b.raw.rate()),
		rates(fmt.Sprintf("monolith, %d products", assortment), assorted, "a dozen", of.rate()),
		rates(fmt.Sprintf("monolith, %d clients, %d under way", 2*b.clients, 2*b.underWay), doubled, "half of both", of.rate()),
		times("monolith", of, "stock path", ms(stock.most.times)),
		times("all split", all, "monolith", ms(of.times)),
		costs("monolith", of, "stock path", stock.most).most(0.16),
		costs("monolith", of, "fairer path", fair.most),
		costs("all split", all, "monolith", of),
		placed, placedWAL.within(15), splitPlaced, splitWAL,
	}

	paced := section{title: fmt.Sprintf("From POST to confirmed, at %d orders/s", pace), how: "From when the POST was due until " +
		"PostgreSQL notifies, from a trigger, that the transaction which confirmed the order has committed; both ends are " +
		"read from one clock. One placement is the POST of one client, above."}
	of, all = monolith.paced, split.paced
	placed, placedWAL = of.order().beside("monolith, an order", "only placed", b.rawWrote)
	splitPlaced, splitWAL = all.order().beside("all split, an order", "monolith", of.order())
	paced.rows = []row{
		times("monolith", of, "one placement", b.one).most(4),
		times("monolith", of, "stock path", ms(stock.paced.times)),
		times("monolith", of, "fairer path", ms(fair.paced.times)),
		times("all split", all, "one placement", b.one).most(7.5),
		times("all split", all, "monolith", ms(of.times)),
		costs("monolith", of, "stock path", stock.paced),
		costs("monolith", of, "fairer path", fair.paced),
		costs("all split", all, "monolith", of),
		placed, placedWAL.within(15), splitPlaced, splitWAL,
	}
	for _, of := range []saga{monolith, split, stock, fair} {
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
