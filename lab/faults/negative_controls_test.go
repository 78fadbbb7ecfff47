package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"example.com/shop/tools/topology"
)

// control is a shop without a mechanism, under a fault that needs it. If the rules stayed green
// here, green rules in the matrix would prove nothing.
type control struct {
	without  string // the mechanisms that sabotage disables
	sabotage sabotage
	split    bool
	env      []string
	clients  int
	replicas int
	do       deed
	red      []string // the rules that must break; none if another mechanism is left
}

// Rules that several controls break.
const (
	allHandled = "every subscriber handled every event"
	balanced   = "what is reserved and shipped is what the reservations say"
)

var controls = []control{
	// Each of these two mechanisms is enough: the inbox stops an event that is delivered twice, and
	// so do the status checks.
	{without: "inbox,status checks", sabotage: sabotage{moveAgain}, do: disturbForgetful, red: []string{balanced}},
	{without: "status checks", sabotage: sabotage{moveAgain}, do: disturbDelivery},
	{without: "inbox", do: disturbForgetful},
	{without: "publish before mark", sabotage: sabotage{markUnpublished}, do: killEach, red: []string{allHandled}},
	{without: "commit before acknowledgement", sabotage: sabotage{acknowledgeEarly}, split: true,
		do:  dieInCommit("inventory", "inbox", "NEW.topic = 'orders.confirmed.v1'"),
		red: []string{allHandled, "a confirmed order is shipped"}},
	{without: "commit before acknowledgement,deadlines", split: true,
		sabotage: sabotage{acknowledgeEarly, postponeDeadlines},
		do:       dieInCommit("inventory", "inbox", "NEW.topic = 'orders.placed.v1'"),
		red:      []string{"every order is confirmed or cancelled"}},
	{without: "tombstones", sabotage: sabotage{dropTombstones}, do: disturbDelivery,
		red: []string{"a cancelled order holds no stock", "a cancelled order holds no money", paidOnce}},
	{without: "request hashes", sabotage: sabotage{forgetRequest},
		do: often(dieAt("committed, not published", "orders")), red: []string{answered}},
	{without: "stored answers", sabotage: sabotage{dropAnswers}, split: true, do: killFacade, red: []string{storedOnce}},
	{without: "an end of idle transactions", sabotage: sabotage{leaveOpen}, do: nothing, red: []string{resourcesFreed}},
	{without: "commits on disk", sabotage: sabotage{commitLater}, do: killPostgresOften, red: []string{storedOnce}},
	{without: "one key for all tries", sabotage: sabotage{changeKeys}, do: nothing, red: []string{onlyAsked, paidOnce}},
	{without: "dead letters", sabotage: sabotage{dropFailures}, do: poisonEvents, red: []string{deadLetters, allHandled}},
	{without: "full scans", sabotage: sabotage{skipEvents}, do: nothing, red: []string{"every outbox is drained"}},
	{without: "status checks of orders", sabotage: sabotage{moveConfirmed}, do: regret,
		red: []string{"every order has exactly one notification"}},
	{without: "the payment's outcome", sabotage: sabotage{confirmDeclined}, do: nothing,
		red: []string{"a confirmed order is reserved or shipped, and paid", declinedEnd, paidOnce}},
	{without: "correlation ids", sabotage: sabotage{dropCauses}, do: nothing,
		red: []string{"the events of a confirmed order have the trace and the correlation of the request that placed it"}},
	{without: "the consumers' lock", sabotage: sabotage{lockNothing}, clients: 5 * cellClients, replicas: 2, do: fiveTimes,
		red: []string{"nothing deadlocked"}},
	{without: "successful handlers", sabotage: sabotage{failAtRandom}, env: []string{"EVENTS_MAX_ATTEMPTS=1"}, do: nothing,
		red: []string{"nothing is a dead letter"}},
	{without: "one Message-ID for all tries", sabotage: sabotage{changeMessageIDs}, do: nothing,
		red: []string{mailedOnce}},
	{without: "send before mark", sabotage: sabotage{markUnsent}, do: killEach, red: []string{mailedOnce}},
	{without: "a count of what is on hand", sabotage: sabotage{sellTwice}, do: nothing,
		red: []string{"what came in is on hand, reserved or shipped, and none is negative", linear}},
}

// judged are the rules that can break. The dead letters are only checked where poison is published.
var judged = slices.Concat(rules, []string{deadLetters})

// TestNegativeControls shows that every rule can turn red, and which mechanism keeps it green.
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
			t.Logf("%s without %q: %d red, %.1f s", numbered(i+1, len(controls)), c.without, len(red),
				time.Since(began).Seconds())
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
	s, err := openForCell(t.Context(), where, topology.Options{
		Bin: failpointBin(t), Out: logs, Env: c.env, OpenBroker: true, // for acknowledgeEarly
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, logs.end())
	}
	t.Cleanup(func() { s.close(t) })
	s.quiet = 10 * time.Second // most controls never settle
	s.crowd(c.clients)
	for _, disable := range c.sabotage {
		disable(t, s)
	}
	r := chance(seed, t.Name())
	s.seed = r.Uint64()
	_, urls := s.replicate(t, where, c.replicas, r)
	wanted := "red, as it should be"
	if len(c.red) == 0 {
		wanted = "red, and should be green"
	}
	for _, b := range s.underLoad(t, cellOrders, urls, func(progress func(float64)) { c.do(t, s, r, progress) }) {
		rule, _, _ := strings.Cut(b, ":")
		if !slices.Contains(red, rule) {
			t.Logf("%s: %.300s", wanted, b)
			red = append(red, rule)
		}
		if !slices.Contains(judged, rule) {
			t.Errorf("this is not in the list of rules: %s", rule)
		}
	}
	if t.Failed() {
		t.Logf("the end of the shop's log:\n%s", logs.end())
	}
	return red
}

// fiveTimes waits for five times the load.
func fiveTimes(_ *testing.T, _ *shop, _ *rand.Rand, progress func(float64)) { progress(5) }
