package faults

import (
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/lab/ask"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/share"
	"example.com/shop/tools/topology"
)

// A module leaves the monolith and comes back under load: two monoliths are restarted in turn, the
// façade moves weight step by step, and for some time both sides consume for the same schema. No
// request fails, and every invariant holds.
func TestPaymentsGoesOutAndComesBack(t *testing.T) {
	outAndBack(t, "payments", "/v1/payments?order_id="+uuid.NewString())
}

// The same for the module that orders calls while the client waits.
func TestInventoryGoesOutAndComesBack(t *testing.T) {
	outAndBack(t, "inventory", "/v1/inventory/products")
}

// A canary's process handles nothing before it has weight, and then what it has weight for:
// requests, events and jobs. A rollback gives all of it back.
func TestACanaryByHand(t *testing.T) {
	s := startWith(t, topology.Options{Canary: "payments"})
	handled := func(side string) (events int) {
		return pgtest.Count(t, s.admin, "SELECT events FROM payments.sides WHERE side = $1", side)
	}
	some := func() {
		t.Helper()
		for i := range 40 {
			if _, err := s.place(t.Context(), s.URL, "ada", i, unreported); err != nil {
				t.Fatal(err)
			}
		}
	}
	some()
	until(t, "the monolith handles events", time.Minute, func() bool { return handled("monolith") >= 10 })
	for _, step := range [][]string{{"set", "payments", "monolith=0", "payments=100"}, {"rollback"}} {
		idle, other := "payments", "monolith"
		if step[0] == "rollback" {
			idle, other = other, idle
		}
		if n := handled(idle); n != 0 {
			t.Errorf("%s has weight 0, and has handled %d events", idle, n)
		}
		s.seam(t, append([]string{"route"}, step...)...)
		s.exec(t, "SELECT pg_sleep(2)") // what was counted is written each second
		was := handled(other)
		some()
		until(t, idle+" handles events", time.Minute, func() bool { return handled(idle) >= 10 })
		if n := handled(other); n != was {
			t.Errorf("%s has no weight any more, and has handled %d events", other, n-was)
		}
		s.exec(t, "UPDATE payments.sides SET events = 0")
	}
}

// brisk halves the façade's probe interval, and also how long a stopping process serves on.
var brisk = []string{"GATEWAY_INTERVAL=500ms", "DRAIN_AFTER=1s"}

// noticed is how long such a façade takes to see that a process is ready.
const noticed = 1250 * time.Millisecond

func outAndBack(t *testing.T, module, path string) {
	long(t)
	s := startWith(t, topology.Options{Facade: true, Env: append([]string{"HTTP_CALLER_RATE=1000000", "GATEWAY_ADDRESS_RATE=1000000"}, brisk...)})
	first := s.Processes()[0]
	second := s.secondMonolith(t)
	c := &canary{shop: s, module: module, monoliths: []*topology.Process{first, second}, path: path,
		token: s.token("staff", "grace")}
	c.route(t, 0)

	l := &load{}
	stopSampling := s.sample(t)
	history := s.recordHistory(t, l, []string{s.URL})
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 { // none of their requests may fail
		clients.Go(func() {
			l.keep(t, s, i, 20*time.Millisecond, stop, func(why string) { t.Errorf("an order of client %d failed: %s", i, why) })
		})
	}

	c.startService(t)
	for _, weight := range []int{1, 10, 50, 100} {
		c.route(t, weight)
		c.measure(t, weight)
	}
	c.serve(t, others(module)...) // the service alone serves and consumes
	c.measure(t, 100)
	c.serve(t, topology.Modules...) // both again
	for _, weight := range []int{50, 0} {
		c.route(t, weight)
		c.measure(t, weight)
	}
	if err := c.service.Stop(); err != nil {
		t.Errorf("stop the service: %v", err)
	}
	close(stop)
	clients.Wait()
	history.rest()
	t.Logf("%d orders were placed meanwhile", len(l.orders))
	report(t, s.settle(t, l))
	history.check(t)
	report(t, s.found)
	report(t, stopSampling())
	s.summarize(t)
}

// canary is a module on its way between the monoliths and a process of its own.
type canary struct {
	*shop
	module    string
	monoliths []*topology.Process
	service   *topology.Process
	path      string // of a request to see which side answers
	token     string
}

// secondMonolith starts one more monolith, which has a side of its own and handles nothing yet.
func (s *shop) secondMonolith(t *testing.T) *topology.Process {
	t.Helper()
	for _, m := range topology.Modules {
		if err := s.Share(t.Context(), m, share.Weight{Side: "monolith", Weight: 100}, share.Weight{Side: "monolith-2"}); err != nil {
			t.Fatal(err)
		}
	}
	second, err := s.StartMonolith(t.Context(), 0, "SIDE=monolith-2")
	if err != nil {
		t.Fatal(err)
	}
	return second
}

// startService starts the module as a process of its own, which handles nothing yet.
func (c *canary) startService(t *testing.T) {
	t.Helper()
	err := c.Share(t.Context(), c.module, share.Weight{Side: "monolith", Weight: 50},
		share.Weight{Side: "monolith-2", Weight: 50}, share.Weight{Side: c.module})
	if err != nil {
		t.Fatal(err)
	}
	if c.service, err = c.StartService(t.Context(), c.module); err != nil {
		t.Fatal(err)
	}
}

// route gives the service its weight, and the rest to the monoliths. All else of a route stays.
func (c *canary) route(t *testing.T, weight int) {
	t.Helper()
	was, err := routes.Load(c.Routes)
	if err != nil {
		t.Fatal(err)
	}
	file := routes.File{Upstreams: map[string]routes.Upstream{}, Routes: map[string]routes.Route{}}
	upstream := func(name string, p *topology.Process) {
		file.Upstreams[name] = routes.Upstream{URL: p.URL, Probe: p.OpsURL + "/readyz"}
	}
	upstream("monolith", c.monoliths[0])
	upstream("monolith-2", c.monoliths[1])
	for _, m := range topology.Modules {
		rest := 100
		if m == c.module {
			rest -= weight
		}
		sides := []routes.Side{{Upstream: "monolith", Weight: rest - rest/2},
			{Upstream: "monolith-2", Weight: rest / 2}}
		if m == c.module && c.service != nil {
			upstream(m, c.service)
			sides = append(sides, routes.Side{Upstream: m, Weight: weight})
		}
		route := was.Routes[m]
		route.Sides = sides
		file.Routes[m] = route
	}
	if err := c.Route(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

// measure sends requests of new clients and compares the service's share with its weight.
func (c *canary) measure(t *testing.T, weight int) {
	t.Helper()
	const asked = 700 // enough for 8 points to be more than four standard deviations
	served := 0
	request := ask.Request{URL: c.URL + c.path, Token: c.token, Header: http.Header{"X-Seam-Secret": {c.Secret}}} // or the side is not told
	for range asked {
		answer, err := request.Send(t.Context(), client)
		if err != nil || answer.Status != http.StatusOK {
			t.Errorf("at %d %%: status %d, %v", weight, answer.Status, err)
		}
		if answer.Header.Get("X-Seam-Upstream") == c.module {
			served++
		}
	}
	share := 100 * float64(served) / asked
	t.Logf("at %3d %% the service answered %.1f %%", weight, share)
	if math.Abs(share-float64(weight)) > 8 {
		t.Errorf("the service answered %.1f %%, want %d %%", share, weight)
	}
}

// serve restarts the monoliths in turn with these modules.
func (c *canary) serve(t *testing.T, modules ...string) {
	t.Helper()
	for _, p := range c.monoliths {
		p.Serves, p.Env = modules, append(p.Env, "MODULES="+strings.Join(modules, ","))
		c.restart(t, p, p.Stop)
		time.Sleep(noticed)
	}
}

func others(module string) (rest []string) {
	for _, m := range topology.Modules {
		if m != module {
			rest = append(rest, m)
		}
	}
	return rest
}
