// Package saga drives the saga of orders through all four modules in one process: rapid chooses
// what customers and staff do, which event is delivered to which module and when, what the bus
// loses and when deadlines pass. Then all faults end, and a model checks the result.
package saga

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/shop/modules/payments/paymentssim"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

func TestMain(m *testing.M) {
	// A minute or so. The command line may ask for more: -rapid.checks=1000.
	if err := flag.Set("rapid.checks", "50"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// The bus drops, duplicates and reorders, and no order is lost, doubled, sold twice or charged in
// vain.
func TestSaga(t *testing.T) {
	s := open(t)
	runs, orders, states := 0, 0, map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		m := s.begin(rt, runs)
		rt.Repeat(map[string]func(*rapid.T){
			"":         m.look,
			"place":    m.place,
			"place2":   m.place, // two things happen twice as often, or few orders would come far
			"cancel":   m.cancel,
			"restock":  m.restock,
			"deliver":  m.deliver,
			"deliver2": m.deliver,
			"drop":     m.drop,
			"work":     m.work,
			"wait":     m.wait,
		})
		m.heal(rt)
		m.check(rt)
		for _, o := range m.orders {
			orders++
			states[o.state]++
		}
	})
	t.Logf("%d runs with %d orders, which ended %v", runs, orders, states)
	for _, end := range later["placed"] {
		if end != "awaiting_payment" && states[end] == 0 {
			t.Errorf("no order ended %s, so nothing was tested of it", end)
		}
	}
}

// begin empties the shop, stocks its shelves and returns a model of it.
func (s *shop) begin(rt *rapid.T, run int) *model {
	var tables string
	err := s.admin.QueryRow(rt.Context(), `SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables
		WHERE schemaname = ANY ($1) AND tablename NOT LIKE '%\_version' AND tablename <> 'bus'`, modules).Scan(&tables)
	if err != nil {
		rt.Fatal(err)
	}
	_, err = s.admin.Exec(rt.Context(), "TRUNCATE "+tables)
	for postgres.HasCode(err, "40P01") { // the relays read two of the tables in an order of their own
		_, err = s.admin.Exec(rt.Context(), "TRUNCATE "+tables)
	}
	if err != nil {
		rt.Fatal(err)
	}
	_, err = s.admin.Exec(rt.Context(), `
		WITH p AS (INSERT INTO inventory.products (sku, name, price, currency) VALUES ('tea', 'Tea', 1299, 'EUR'), ('cup', 'Cup', 1800, 'EUR') RETURNING sku)
		INSERT INTO inventory.stock (sku, initial, on_hand) SELECT sku, 4, 4 FROM p`)
	if err != nil {
		rt.Fatal(err)
	}
	provider, err := paymentssim.New(paymentssim.Options{})
	if err != nil {
		rt.Fatal(err)
	}
	s.provider.Store(provider)
	s.bus.loseAll()
	now := time.Now()
	s.clock.Store(&now)
	return &model{shop: s, run: run, cameIn: map[string]int64{"tea": 4, "cup": 4}, ordered: map[string]int64{}}
}

func (m *model) place(rt *rapid.T) {
	o := &order{
		token: rapid.SampledFrom([]string{"tok_ok", "tok_declined", "tok_flaky", "tok_timeout"}).Draw(rt, "token"),
		lines: map[string]int64{rapid.SampledFrom([]string{"tea", "cup"}).Draw(rt, "sku"): rapid.Int64Range(1, 3).Draw(rt, "quantity")},
		email: fmt.Sprintf("run-%d-order-%d@mail.example", m.run, len(m.orders)), placed: m.now(), state: "placed",
	}
	if rapid.Bool().Draw(rt, "a cup too") {
		o.lines["cup"]++
	}
	var lines string
	for _, sku := range []string{"tea", "cup"} {
		if o.lines[sku] > 0 {
			lines += fmt.Sprintf(`,{"sku":%q,"quantity":%d}`, sku, o.lines[sku])
			m.ordered[sku] += o.lines[sku]
		}
	}
	var answer struct {
		ID    string
		Total struct{ Amount int64 }
	}
	body := fmt.Sprintf(`{"email":%q,"payment_token":%q,"lines":[%s]}`, o.email, o.token, lines[1:])
	if status := m.call(rt, "customer", "POST", "/v1/orders", body, &answer); status != 201 {
		rt.Fatalf("place: status %d", status)
	}
	o.id, o.total = answer.ID, answer.Total.Amount
	m.orders = append(m.orders, o)
	m.drain(rt)
}

func (m *model) cancel(rt *rapid.T) {
	if len(m.orders) == 0 {
		rt.Skip("there is no order")
	}
	o := m.orders[rapid.IntRange(0, len(m.orders)-1).Draw(rt, "order")]
	var answer seen
	status := m.call(rt, "customer", "POST", "/v1/orders/"+o.id+"/cancel", "", &answer)
	switch {
	case status == 200:
		o.cancelled = true
		o.moves(rt, answer)
	case status != 409 || o.state != "confirmed":
		rt.Fatalf("cancel of an order that is %s: status %d", o.state, status)
	}
	m.drain(rt)
}

func (m *model) restock(rt *rapid.T) {
	sku := rapid.SampledFrom([]string{"tea", "cup"}).Draw(rt, "sku")
	quantity := rapid.Int64Range(1, 3).Draw(rt, "quantity")
	var p product
	if status := m.call(rt, "staff", "POST", "/v1/inventory/products/"+sku+"/restock", fmt.Sprintf(`{"quantity":%d}`, quantity), &p); status != 200 {
		rt.Fatalf("restock: status %d", status)
	}
	m.cameIn[sku] += quantity
}

// unhandled has no subscriber.
const unhandled = "payments.refunded.v1"

// deliver delivers some events to one of their subscribers each, in any order and any number of
// times.
func (m *model) deliver(rt *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(rt, "times") {
		e := m.draw(rt)
		listeners := m.bus.handledBy(e.topic)
		if len(listeners) == 0 {
			if e.topic != unhandled {
				rt.Fatalf("no module subscribes to %s", e.topic)
			}
			continue
		}
		m.hand(rt, e, rapid.SampledFrom(listeners).Draw(rt, "listener"))
	}
}

// drop has the bus lose an event that it has acknowledged.
func (m *model) drop(rt *rapid.T) { m.bus.lose(m.draw(rt)) }

func (m *model) draw(rt *rapid.T) published {
	underWay := m.bus.events()
	if len(underWay) == 0 {
		rt.Skip("nothing is on its way")
	}
	return underWay[rapid.IntRange(0, len(underWay)-1).Draw(rt, "event")]
}

// hand delivers one event, which must not become a dead letter, whatever was delivered before.
func (m *model) hand(rt *rapid.T, e published, listener string) {
	rt.Logf("%s handles %s", listener, e.topic)
	if err := m.bus.deliver(e, listener); err != nil {
		rt.Fatal(err)
	}
	if m.is(rt, "SELECT EXISTS (SELECT FROM "+listener+".failed)") {
		rt.Fatalf("%s made a dead letter of %s", listener, e.topic)
	}
	m.drain(rt)
}

func (m *model) work(rt *rapid.T) {
	m.shop.work(rt, rapid.SampledFrom([]string{"orders", "payments", "notifications"}).Draw(rt, "module"))
	m.drain(rt)
}

// wait lets time pass: enough for another try, or too much for an order.
func (m *model) wait(rt *rapid.T) {
	m.pass(rapid.SampledFrom([]time.Duration{time.Second, time.Second, 10 * time.Second, deadline}).Draw(rt, "time"))
}

// heal replays everything that was ever published, and delivers and runs workers until nothing is
// left.
func (m *model) heal(rt *rapid.T) {
	for _, module := range modules {
		if _, err := events.Replay(rt.Context(), m.dbs[module].Pool(), time.Time{}, func(int64) {}); err != nil {
			rt.Fatal(err)
		}
	}
	backwards := rapid.Bool().Draw(rt, "the latest first")
	handled := map[string]bool{}
	for range 30 {
		for _, module := range []string{"orders", "payments", "notifications"} {
			m.shop.work(rt, module)
		}
		m.drain(rt)
		underWay, fresh := m.bus.events(), 0
		if backwards {
			slices.Reverse(underWay)
		}
		for _, e := range underWay {
			for _, listener := range m.bus.handledBy(e.topic) {
				if key := e.UUID + listener; !handled[key] {
					handled[key] = true
					fresh++
					m.hand(rt, e, listener)
				}
			}
		}
		if fresh == 0 && !m.is(rt, "SELECT EXISTS (SELECT FROM payments.jobs) OR EXISTS (SELECT FROM notifications.jobs)") {
			return
		}
		m.pass(time.Second) // until the next try of what has failed
	}
	rt.Fatal("it does not come to rest")
}
