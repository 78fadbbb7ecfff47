package faults

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// A module that cannot serve makes only itself unready, not its process, and takes out only its own
// route at the façade. A module whose requests all wait for a locked table is ready.
func TestReadinessIsEachModules(t *testing.T) {
	s := startWith(t, topology.Options{Facade: true, Env: []string{"DRAIN_AFTER=0s"}})
	monolith, gateway := s.process(t, "monolith"), s.process(t, "gateway")
	database, through := behind(t, s.Plan.RuntimeURL(s.AdminURL, "inventory"))
	s.set(t, []string{"INVENTORY_DATABASE_URL=" + through}, monolith)
	ready := func(of string) int { return get(t, monolith.OpsURL+"/readyz"+of, "").Status }

	release := s.hold(t, "LOCK TABLE inventory.products") // also against readers
	const pool = 8
	var waiting sync.WaitGroup
	for range pool + 1 {
		waiting.Go(func() { get(t, s.URL+"/v1/inventory/products", "") })
	}
	until(t, "every connection of inventory waits", time.Minute, func() bool {
		return pgtest.Count(t, s.admin, "SELECT count(*) FROM pg_locks WHERE relation = 'inventory.products'::regclass AND NOT granted") == pool
	})
	for _, of := range []string{"", "/inventory", "/orders"} {
		if status := ready(of); status != http.StatusOK {
			t.Errorf("/readyz%s is %d while a table is locked", of, status)
		}
	}
	if a := get(t, s.URL+"/v1/orders", s.token("customer", "ada")); a.Status != http.StatusOK {
		t.Errorf("orders answers %d while a table of inventory is locked", a.Status)
	}
	release()
	waiting.Wait()

	until(t, "every route is in", time.Minute, func() bool {
		r := s.routeReady(t, gateway)
		return r["orders"] && r["inventory"] && r["payments"] && r["notifications"]
	})
	thaw := database.Freeze() // open connections and new ones
	t.Cleanup(thaw)
	noticed := until(t, "inventory is not ready", time.Minute, func() bool {
		return ready("/inventory") == http.StatusServiceUnavailable
	})
	t.Logf("inventory was not ready %s after its database went silent", noticed.Round(time.Millisecond))
	until(t, "its route is out", time.Minute, func() bool { return !s.routeReady(t, gateway)["inventory"] })
	if r := s.routeReady(t, gateway); !r["orders"] || !r["payments"] || !r["notifications"] {
		t.Errorf("others are out, too: %v", r)
	}
	for _, of := range []string{"", "/orders"} {
		if status := ready(of); status != http.StatusOK {
			t.Errorf("/readyz%s is %d without inventory's database", of, status)
		}
	}
	if status := ready("/billing"); status != http.StatusNotImplemented {
		t.Errorf("a module that the process does not serve: %d", status)
	}
	thaw()
	until(t, "inventory is ready again", time.Minute, func() bool { return s.routeReady(t, gateway)["inventory"] })
}

// routeReady returns the routes with a side that is ready for the façade.
func (s *shop) routeReady(t *testing.T, gateway *topology.Process) map[string]bool {
	t.Helper()
	var page struct {
		Routes map[string]struct{ Sides []struct{ Ready bool } }
	}
	if err := json.Unmarshal([]byte(s.routesPage(t, gateway)), &page); err != nil {
		t.Fatal(err)
	}
	ready := map[string]bool{}
	for name, r := range page.Routes {
		for _, side := range r.Sides {
			ready[name] = ready[name] || side.Ready
		}
	}
	return ready
}
