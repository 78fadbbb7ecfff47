package faults

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/topology"
)

// The middle of a canary: a module's service and two monoliths serve and consume for one schema. Each applies its share of the events,
// none is applied twice, and nothing deadlocks.
func TestThreeProcessesConsumeForOneSchema(t *testing.T) {
	long(t)
	for _, module := range []string{"payments", "inventory"} {
		t.Run(module, func(t *testing.T) { consumeTogether(t, module) })
	}
}

func consumeTogether(t *testing.T, module string) {
	s := startWith(t, topology.Options{Facade: true, Env: brisk})
	second, err := s.StartMonolith(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	service, err := s.StartService(t.Context(), module)
	if err != nil {
		t.Fatal(err)
	}
	path := map[string]string{"payments": "/v1/payments?order_id=0198f000-0000-7000-8000-000000000000", "inventory": "/v1/inventory/products"}[module]
	c := &canary{
		shop: s, module: module, monoliths: []*topology.Process{s.Processes()[0], second}, service: service,
		path: path, token: s.token("staff", "grace"),
	}
	c.sign(t, map[string]*topology.Process{"monolith": c.monoliths[0], "monolith-2": c.monoliths[1], module: service})
	c.route(t, 50)
	report(t, s.underLoadOf(t, 10_000, []string{s.URL}, func(progress func(float64)) {
		progress(0.1)
		c.measure(t, 50)
	}))
	c.checkSigned(t, "monolith", "monolith-2", module)
	s.checkDeadlocksShow(t, module)
}

// sign makes each process write its name beside every event that it applies for the module: its connections to the schema carry the
// name, and a column of the inbox takes it from there, so the processes themselves run as they always do.
func (c *canary) sign(t *testing.T, processes map[string]*topology.Process) {
	t.Helper()
	if _, err := c.admin.Exec(t.Context(), "ALTER TABLE "+c.module+".inbox ADD COLUMN process text DEFAULT current_setting('shop.process', true)"); err != nil {
		t.Fatal(err)
	}
	for name, p := range processes {
		address, err := url.Parse(c.Plan.RuntimeURL(c.AdminURL, c.module))
		if err != nil {
			t.Fatal(err)
		}
		query := address.Query()
		query.Set("shop.process", name)
		address.RawQuery = query.Encode()
		// On a busy machine these many orders wait longer than the usual ten seconds, and would expire instead of going all the way.
		p.Env = append(p.Env, strings.ToUpper(c.module)+"_DATABASE_URL="+address.String(), "ORDERS_DEADLINE=2m")
		c.restart(t, p, p.Stop)
	}
}

// checkSigned fails unless these processes, and no others, have applied the events, each of them a part that is not by accident.
func (c *canary) checkSigned(t *testing.T, processes ...string) {
	t.Helper()
	rows, err := c.admin.Query(t.Context(), "SELECT coalesce(process, 'nobody'), count(*) FROM "+c.module+".inbox GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	applied, all := map[string]int{}, 0
	var process string
	var count int
	if _, err := pgx.ForEachRow(rows, []any{&process, &count}, func() error {
		applied[process] = count
		all += count
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("who applied the events of %s: %v", c.module, applied)
	if len(applied) != len(processes) {
		t.Errorf("they were applied by %v, want %v", applied, processes)
	}
	for _, p := range processes {
		if applied[p] < all/20 {
			t.Errorf("%s applied %d of %d events", p, applied[p], all)
		}
	}
}

// checkDeadlocksShow has two sessions of the module's role deadlock. The invariant must break: then the deadlocks that it did not find
// before were not there, rather than in another database or not counted yet.
func (s *shop) checkDeadlocksShow(t *testing.T, module string) {
	t.Helper()
	const rule = "nothing deadlocked"
	var sessions [2]pgx.Tx
	for i := range sessions {
		conn, err := pgx.Connect(t.Context(), s.Plan.RuntimeURL(s.AdminURL, module))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if sessions[i], err = conn.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := sessions[i].Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", i); err != nil {
			t.Fatal(err)
		}
	}
	ended := make(chan error, len(sessions))
	for i := range sessions {
		go func() {
			_, err := sessions[i].Exec(t.Context(), "SELECT pg_advisory_xact_lock($1)", 1-i)
			_ = sessions[i].Rollback(t.Context()) // so that the other goes on
			ended <- err
		}()
	}
	if first, second := <-ended, <-ended; first == nil && second == nil {
		t.Fatal("there was no deadlock")
	}
	deadline := time.Now().Add(30 * time.Second) // an idle session tells its numbers within ten
	for {
		broken, err := violations(t.Context(), s.admin, map[string]string{rule: finally[rule]})
		if err == nil && len(broken) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a deadlock was not found (%v)", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
