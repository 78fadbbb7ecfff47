package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"example.com/shop/topology"
)

// control is a shop that lacks a mechanism, under a fault that the mechanism is there for. If the rules stayed green here, their being green
// in the matrix would prove nothing.
type control struct {
	without  string // mechanisms of edits_test.go, separated by commas
	split    bool
	env      []string
	clients  int
	replicas int
	prepare  func(t *testing.T, s *shop)
	do       func(t *testing.T, s *shop, r *rand.Rand, progress func(share float64))
	red      []string // the rules that must be found broken; none when another mechanism is still there
}

// reached and its like are rules that several controls break.
const (
	reached  = "every event reached every listener"
	balanced = "what is reserved and shipped is what the reservations say"
)

var controls = []control{
	// Each of these two makes the other harmless, on purpose: an event that comes twice is stopped at the inbox, and again by the rules.
	{without: "inbox,once", do: disturbDelivery, red: []string{balanced}},
	{without: "once", do: disturbDelivery},
	{without: "inbox", do: disturbDelivery},
	{without: "publish before mark", do: killEach, red: []string{reached}},
	{without: "commit before acknowledgement", split: true, do: dieAt("acknowledged, not applied, orders.confirmed.v1", "inventory"),
		red: []string{reached, "a confirmed order is shipped"}},
	{without: "commit before acknowledgement,deadlines", split: true, do: dieAt("acknowledged, not applied, orders.placed.v1", "inventory"),
		red: []string{"every order is confirmed or cancelled"}},
	{without: "tombstones", do: disturbDelivery, red: []string{"a cancelled order holds no stock", "a cancelled order holds no money", paidOnce}},
	{without: "repetitions", do: dieAt("committed, not published", "orders"), red: []string{answered}},
	{without: "an end of what an order begins", do: nothing, red: []string{givenBack}},
	{without: "stored answers", do: dieAt("committed, not published", "orders"), red: []string{storedOnce}},
	{without: "commits on disk", prepare: commitLater, do: killPostgres, red: []string{storedOnce}},
	{without: "one key for all tries", do: nothing, red: []string{onlyAsked, paidOnce}},
	{without: "dead letters", do: poisonEvents, red: []string{deadLetters, reached}},
	{without: "full scans", clients: 5 * cellClients, do: fiveTimes, red: []string{"every outbox is drained"}},
	{without: "where a move starts", do: regret, red: []string{"every order was told of once"}},
	{without: "the difference between yes and no", do: nothing,
		red: []string{"a confirmed order is reserved or shipped, and paid", declinedEnd, paidOnce}},
	{without: "causes", do: nothing, red: []string{"what is told of a confirmed order has the trace and the correlation of the request that placed it"}},
	{without: "turns", clients: 5 * cellClients, replicas: 2, do: fiveTimes, red: []string{"nothing deadlocked"}},
	{without: "excuses", env: []string{"EVENTS_MAX_ATTEMPTS=1"}, do: terminateBackends, red: []string{"nothing is a dead letter"}},
	{without: "one Message-ID for all tries", do: nothing, red: []string{mailedOnce}},
	{without: "send before mark", do: killEach, red: []string{mailedOnce}},
	{without: "judgement of stock", prepare: allowDebt, do: nothing,
		red: []string{"what came in is on hand, reserved or shipped, and none is negative", linear}},
}

// judged are the rules that somebody can break. The dead letters are only looked at where poison is told.
var judged = slices.Concat(rules, []string{deadLetters})

// TestNegativeControls shows that every rule can turn red, and that it is the mechanism which keeps it green.
func TestNegativeControls(t *testing.T) {
	long(t)
	seed := seedOf(t)
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WITHOUT\tRED")
	broken, ran := map[string]bool{}, 0
	for i, c := range controls {
		t.Run(c.without, func(t *testing.T) {
			began := time.Now()
			ran++
			red := c.run(t, seed)
			fmt.Fprintf(table, "%s\t%s\n", c.without, strings.Join(red, "; "))
			for _, rule := range red {
				broken[rule] = true
			}
			for _, rule := range c.red {
				if !slices.Contains(red, rule) {
					t.Errorf("this stayed green: %s", rule)
				}
			}
			if len(c.red) == 0 && len(red) > 0 {
				t.Errorf("these should have stayed green: %s", red)
			}
			t.Logf("%s without %q: %s, %.1f s", numbered(i+1, len(controls)), c.without, c.judge(t, red), time.Since(began).Seconds())
		})
	}
	_ = table.Flush()
	t.Logf("SEED=%d\n%s", seed, report.String())
	if ran < len(controls) {
		return // -run has left some out
	}
	for _, rule := range judged {
		if !broken[rule] {
			t.Errorf("no control has turned it red: %s", rule)
		}
	}
}

// run returns the rules that turned red.
func (c control) run(t *testing.T, seed uint64) (red []string) {
	where := monolith
	if c.split {
		where = split
	}
	logs := &journal{}
	s, err := openForCell(t.Context(), where, topology.Options{Bin: editedBin(t), Out: logs, Env: append([]string{"BROKEN=" + c.without}, c.env...)})
	if err != nil {
		t.Fatalf("%v\n%s", err, logs.end())
	}
	t.Cleanup(func() { s.close(t) })
	s.quiet = 10 * time.Second // longer than anything that has a deadline, and short, for most of these never settle
	s.crowd(c.clients)
	if c.prepare != nil {
		c.prepare(t, s)
	}
	r := chance(seed, t.Name())
	s.seed = r.Uint64()
	_, urls := s.replicate(t, where, c.replicas, r)
	wanted := "red, as is wanted here"
	if len(c.red) == 0 {
		wanted = "red, and green is wanted here"
	}
	for _, b := range s.underLoadOf(t, cellOrders, urls, func(progress func(float64)) { c.do(t, s, r, progress) }) {
		rule, _, _ := strings.Cut(b, ":")
		if !slices.Contains(red, rule) {
			t.Logf("%s: %.300s", wanted, b)
			red = append(red, rule)
		}
		if !slices.Contains(judged, rule) {
			t.Errorf("this is in no list of rules: %s", rule)
		}
	}
	if t.Failed() {
		t.Logf("the shop's log ends so:\n%s", logs.end())
	}
	return red
}

// judge says what has come of it.
func (c control) judge(t *testing.T, red []string) string {
	switch {
	case t.Failed():
		return "NOT as it must be"
	case len(c.red) == 0:
		return "green as it must be, for another mechanism is still there"
	case len(red) == 1:
		return "red as it must be: 1 rule"
	}
	return fmt.Sprintf("red as it must be: %d rules", len(red))
}

// fiveTimes is five times the load.
func fiveTimes(_ *testing.T, _ *shop, _ *rand.Rand, progress func(float64)) { progress(5) }

// commitLater has PostgreSQL acknowledge commits that are not on disk.
func commitLater(t *testing.T, s *shop) {
	t.Helper()
	s.exec(t, "ALTER DATABASE shop SET synchronous_commit = off")
	s.exec(t, "ALTER SYSTEM SET wal_writer_delay = '10s'")
	s.exec(t, "ALTER SYSTEM SET wal_writer_flush_after = '64MB'")
	s.exec(t, "SELECT pg_reload_conf()")
	s.set(t, nil, s.modules()...) // for new sessions
}

// allowDebt takes away the constraints that would refuse what the rule looks for, so that it has something to find.
func allowDebt(t *testing.T, s *shop) {
	t.Helper()
	s.exec(t, "ALTER TABLE inventory.stock DROP CONSTRAINT stock_on_hand_check")
}
