package bench

import (
	"fmt"
	"testing"
	"time"

	"example.com/shop/topology"
)

// saga is what a shop does with orders: as many as it can, and a hundred a second.
type saga struct {
	most, paced confirmed
}

const (
	placers   = 32  // clients that place as many as are admitted
	pace      = 100 // orders/s
	lookOften = time.Millisecond
	lookRare  = 20 * time.Millisecond // while as many as possible are under way, each look is dear
)

// see measures a shop that has warmed up.
func (s *shop) see(t *testing.T, sustaining time.Duration) saga {
	t.Helper()
	most := s.plan
	most.Clients, most.For = placers, s.bench.warmFor
	s.confirm(t, most, underWay, lookRare)
	paced := s.plan
	paced.Rate, paced.For = pace, s.bench.paceFor
	of := saga{paced: s.confirm(t, paced, 0, lookOften)}
	most.For = sustaining
	of.most = s.confirm(t, most, underWay, lookRare)
	return of
}

// confirming measures the whole saga in the monolith, in four services, and on the stock path.
func (b *bench) confirming(t *testing.T) []section {
	t.Helper()
	see := func(s *shop, sustaining time.Duration) saga {
		b.say("Orders confirmed, %s …", s.name)
		for _, p := range s.running() {
			b.say("  go tool pprof %s/debug/pprof/profile says where the time of %s goes", p.OpsURL, p.Name)
		}
		defer s.stop(t)
		return s.see(t, sustaining)
	}
	monolith := see(b.start(t, "monolith", nil), b.sustainFor)
	split := see(b.start(t, "split", topology.Modules), b.sustainFor)
	stock := see(b.startStock(t), b.sustainFor/3)

	most := section{title: "Orders confirmed per second", how: fmt.Sprintf("Over HTTP, for %s (the stock path for a third of that), with at most %d orders under way: "+
		"each order that is confirmed lets the next one in; who is confirmed is looked up every %s. All split is four services over JetStream, which syncs "+
		"each message, behind the façade. The stock path is the same modules, routes, handlers and workers in one process, but between them watermill's forwarder and "+
		"watermill-sql, with polls every %s, and one transaction per event with its inbox row. The raw limit is the most that pgbench placed above.",
		b.sustainFor, underWay, lookRare, stockPoll)}
	most.rows = []row{
		row{what: "monolith", unit: "orders/s", ours: rate(monolith.most.rate()), beside: "stock path", reference: rate(stock.most.rate())}.least(5),
		row{what: "monolith", unit: "orders/s", ours: rate(monolith.most.rate()), beside: "raw limit", reference: rate(b.raw)}.least(0.35),
		row{what: "all split", unit: "orders/s", ours: rate(split.most.rate()), beside: "monolith", reference: rate(monolith.most.rate())}.least(0.5),
		{what: "stock path", unit: "orders/s", ours: rate(stock.most.rate()), beside: "raw limit", reference: rate(b.raw)},
		{what: "monolith, POST to confirmed", unit: "ms", ours: ms(monolith.most.times), beside: "stock path", reference: ms(stock.most.times)},
		{what: "all split, POST to confirmed", unit: "ms", ours: ms(split.most.times), beside: "monolith", reference: ms(monolith.most.times)},
	}
	for _, of := range []struct {
		name string
		most confirmed
	}{{"monolith", monolith.most}, {"all split", split.most}, {"stock path", stock.most}} {
		most.how += fmt.Sprintf("\n\nMeanwhile, %s: %s; %d orders refused, %d cancelled.", of.name, of.most.used, of.most.refused, of.most.cancelled)
	}

	paced := section{title: fmt.Sprintf("From POST to confirmed, at %d orders/s", pace), how: "From when the POST was due until the order was seen to be confirmed, by a look " +
		"into PostgreSQL every " + lookOften.String() + ", so too long by up to that and by what the look takes; both ends are read from one clock."}
	paced.rows = []row{
		row{what: "monolith", unit: "ms", ours: ms(monolith.paced.times), beside: "stock path", reference: ms(stock.paced.times)}.within(8, 0),
		row{what: "all split", unit: "ms", ours: ms(split.paced.times), beside: "monolith", reference: ms(monolith.paced.times)}.within(12, 0),
	}
	return []section{most, paced}
}
