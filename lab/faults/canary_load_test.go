package faults

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/tools/topology"
)

// In the middle of a canary, a module's service and two monoliths serve and consume for one schema.
// Each handles a share of the events, none is applied twice, and nothing deadlocks.
func TestThreeProcessesConsumeForOneSchema(t *testing.T) {
	long(t)
	for _, module := range []string{"payments", "inventory"} {
		t.Run(module, func(t *testing.T) { consumeTogether(t, module) })
	}
}

func consumeTogether(t *testing.T, module string) {
	s := startWith(t, topology.Options{Facade: true, Env: brisk})
	second := s.secondMonolith(t)
	path := map[string]string{"payments": "/v1/payments?order_id=0198f000-0000-7000-8000-000000000000",
		"inventory": "/v1/inventory/products"}[module]
	c := &canary{
		shop: s, module: module, monoliths: []*topology.Process{s.process(t, "monolith"), second},
		path: path, token: s.token("staff", "grace"),
	}
	c.startService(t)
	c.sign(t, map[string]*topology.Process{"monolith": c.monoliths[0], "monolith-2": c.monoliths[1], module: c.service})
	c.route(t, 50)
	report(t, s.underLoadOf(t, 10_000, []string{s.URL}, func(progress func(float64)) {
		progress(0.1)
		c.measure(t, 50)
	}))
	c.checkSigned(t, "monolith", "monolith-2", module)
	s.checkDeadlocksShow(t, module)
}

// sign has each process write its name beside every event that it handles for the module: its
// connections have the name as a setting, from which a new column of the inbox takes it.
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
		// On a busy machine so many orders take longer than the usual deadline, and would expire.
		p.Env = append(p.Env, strings.ToUpper(c.module)+"_DATABASE_URL="+address.String(), "ORDERS_DEADLINE=2m")
		c.restart(t, p, p.Stop)
	}
}

// checkSigned fails unless these processes, and no others, handled the events, each 5 % at least.
func (c *canary) checkSigned(t *testing.T, processes ...string) {
	t.Helper()
	rows, err := c.admin.Query(t.Context(), "SELECT coalesce(process, 'unsigned'), count(*) FROM "+c.module+".inbox GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	handled, all := map[string]int{}, 0
	var process string
	var count int
	if _, err := pgx.ForEachRow(rows, []any{&process, &count}, func() error {
		handled[process] = count
		all += count
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("the events of %s, by process: %v", c.module, handled)
	if len(handled) != len(processes) {
		t.Errorf("they were handled by %v, want %v", handled, processes)
	}
	for _, p := range processes {
		if handled[p] < all/20 {
			t.Errorf("%s handled %d of %d events", p, handled[p], all)
		}
	}
}

// checkDeadlocksShow has two sessions of the module's role deadlock. The invariant must break,
// which shows that it would have found earlier deadlocks.
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
			_ = sessions[i].Rollback(t.Context()) // so that the other session goes on
			ended <- err
		}()
	}
	if first, second := <-ended, <-ended; first == nil && second == nil {
		t.Fatal("there was no deadlock")
	}
	deadline := time.Now().Add(30 * time.Second) // idle sessions report statistics within ten
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
