package faults

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
	"example.com/shop/tools/topology"
)

// A service cannot reach PostgreSQL, or the broker, for cutLasts: packets are dropped in both
// directions, also on open connections. At most recoveryLimit after that it works as before, and
// nothing is lost.
//
// Neither end gets an error. The service goes on waiting for answers on dead connections; its
// transactions, and their locks, stay open in PostgreSQL; and the broker goes on delivering to a
// process that does not receive anything.
const cutLasts, recoveryLimit = 20 * time.Second, 10 * time.Second

func TestPaymentsCannotReachPostgres(t *testing.T) { cutFromPostgres(t, "payments") }

func TestPaymentsCannotReachTheBroker(t *testing.T) { cutFromBroker(t, "payments") }

func TestOrdersCannotReachPostgres(t *testing.T) { cutFromPostgres(t, "orders") }

func TestOrdersCannotReachTheBroker(t *testing.T) { cutFromBroker(t, "orders") }

func cutFromPostgres(t *testing.T, module string) {
	cutOff(t, module, false, strings.ToUpper(module)+"_DATABASE_URL",
		func(s *shop) string { return s.Plan.RuntimeURL(s.AdminURL, module) })
}

func cutFromBroker(t *testing.T, module string) {
	cutOff(t, module, true, "NATS_URL", func(s *shop) string { return s.Broker.URL() })
}

// cutOff cuts the module off from what its setting names. Without its database it is not ready;
// without the broker it stays ready, because it accepts orders and publishes their events later.
func cutOff(t *testing.T, module string, staysReady bool, setting string, url func(*shop) string) {
	long(t)
	if !inOwnNetwork(t) {
		return
	}
	// The default redelivery timeout: a short one would hide deliveries to dead connections.
	s := startWith(t, topology.Options{Split: topology.Modules, Host: "0.0.0.0", Env: []string{"NATS_ACK_WAIT=10s"}})
	p := s.process(t, module)
	p.Env = append(p.Env, setting+"="+strings.Replace(url(s), "127.0.0.1", aside, 1))
	s.restart(t, p, p.Stop)

	l := &load{}
	stopSampling := s.sample(t)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for c := range 8 { // slow ones: the backlog after a cut is small, and its time depends on the shop more than on the machine
		all.Go(func() { l.keep(t, s, c, time.Second, stop, unreported) })
	}
	until(t, "orders come in", time.Minute, func() bool { return l.done.Load() >= 30 })
	usually := until(t, "a new order is confirmed", time.Minute, s.newOrder(t, l))
	t.Logf("an order is usually confirmed after %s", usually.Round(time.Millisecond))

	cut(t)
	began, before := time.Now(), l.done.Load()
	if !staysReady {
		noticed := until(t, "it is not ready", cutLasts, func() bool { return !isReady(t, p) })
		t.Logf("%s was not ready %s after the cut", module, noticed.Round(time.Millisecond))
	}
	time.Sleep(time.Until(began.Add(cutLasts)))
	if staysReady && !isReady(t, p) {
		t.Errorf("%s is not ready, and could accept orders without the broker", module)
	}
	acknowledged, waiting := l.done.Load()-before, s.undelivered(t, uuid.Max)
	t.Logf("%d orders were acknowledged meanwhile and %d deliveries wait", acknowledged, waiting)
	if acknowledged > 0 && waiting == 0 {
		t.Error("orders were acknowledged and nothing waits, so nothing was cut")
	}
	heal(t)
	s.recovers(t, l, p, usually)
	close(stop)
	all.Wait()
	report(t, s.settle(t, l))
	report(t, stopSampling())
	s.summarize(t)
}

// recovers measures how long it takes until the process is ready, a new order is confirmed, and all
// older events are delivered.
func (s *shop) recovers(t *testing.T, l *load, p *topology.Process, usually time.Duration) {
	t.Helper()
	healed := uuid.Must(uuid.NewV7()) // events have such ids, so older ones are lower
	var all sync.WaitGroup
	for _, sign := range []struct {
		what string
		work bool // takes processor time, too
		done func() bool
	}{
		{p.Name + " is ready", false, func() bool { return isReady(t, p) }},
		{"deliveries go on", false, s.deliveries(t, p.Name)},
		{"a new order is confirmed", true, s.newOrder(t, l)},
		{"what waited is delivered", true, func() bool { return s.undelivered(t, healed) == 0 }},
	} {
		all.Go(func() {
			took := until(t, sign.what, time.Minute, sign.done)
			t.Logf("%s %s after healing", sign.what, took.Round(time.Millisecond))
			// A machine that usually needs half a second for an order is too busy to measure this.
			if took > recoveryLimit && (!sign.work || usually < time.Second/2) {
				t.Errorf("%s %s after healing, want %s at most", sign.what, took.Round(time.Millisecond), recoveryLimit)
			}
		})
	}
	all.Wait()
}

// newOrder places an order, with retries, and returns a function that reports whether it has ended.
func (s *shop) newOrder(t *testing.T, l *load) (through func() bool) {
	t.Helper()
	token := s.token("customer", "ada")
	id := make(chan string, 1)
	go func() {
		placedID, err := insist(t.Context(), s.URL, token, uuid.NewString(), someTea, unreported)
		if err != nil {
			t.Errorf("the new order: %v", err)
		}
		l.acknowledged(placed{id: placedID, customer: "ada", paymentToken: "tok_ok"})
		id <- placedID
	}()
	var order string
	return func() (over bool) {
		select {
		case order = <-id:
		default:
		}
		// It is cancelled only if it expires, which takes longer than the limit.
		err := s.admin.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM orders.orders WHERE id::text = $1 AND status IN ('confirmed', 'cancelled'))", order).Scan(&over)
		if err != nil {
			t.Error(err)
		}
		return over
	}
}

// deliveries returns a function that reports whether the module has handled an event since.
func (s *shop) deliveries(t *testing.T, module string) (goOn func() bool) {
	t.Helper()
	handled := func() (count int) {
		if err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM "+module+".inbox").Scan(&count); err != nil {
			t.Error(err)
		}
		return count
	}
	before := handled()
	return func() bool { return handled() > before }
}

// undelivered counts earlier events that are unpublished or not handled by some subscriber.
func (s *shop) undelivered(t *testing.T, before uuid.UUID) (count int) {
	t.Helper()
	err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM ("+finally["every outbox is drained"]+" UNION "+
		finally["every subscriber handled every event"]+") AS waiting (id) WHERE id < $1", before).Scan(&count)
	if err != nil {
		t.Error(err)
	}
	return count
}

// isReady probes a process of one module as the façade does.
func isReady(t *testing.T, p *topology.Process) bool {
	t.Helper()
	a, err := ask.Request{URL: p.OpsURL + "/readyz/" + p.Serves[0]}.Send(t.Context(), client)
	return err == nil && a.Status == http.StatusOK
}

// until polls until done, and returns how long that took.
func until(t *testing.T, what string, limit time.Duration, done func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !done() {
		if time.Since(began) > limit {
			t.Errorf("not within %s: %s", limit, what)
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(began)
}
