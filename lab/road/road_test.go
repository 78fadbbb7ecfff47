// Package road walks deploy/EXTRACT.md: its commands, as they stand on the page, in one shell,
// while customers place orders.
package road

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/shop/lab/ask"
	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/topology"
)

// A module goes out, comes back, and goes out for good. No request fails on the way, and each order
// is confirmed and has one mail.
func TestTheRoad(t *testing.T) {
	if !pgserver.Installed() {
		t.Skip("it needs a PostgreSQL on this machine: an installation's initdb")
	}
	for _, module := range []string{"notifications", "payments", "inventory", "orders"} {
		t.Run(module, func(t *testing.T) {
			if module != "notifications" && os.Getenv("SEAM_LONG") == "" {
				t.Skip("it is run by make long SUITE=topologies")
			}
			w := begin(t, module)
			w.walk("Before: a monolith")
			stop := w.customers()
			w.walk("Out", "Back")
			w.walk("Out: 2", "The data") // the façade is there
			w.dataMoved()
			w.run("keep the old monolith", "cp bin/monolith .road/before")
			w.walk("For good")
			stop()
			w.check()
			w.refusals()
		})
	}
}

// customers place orders and read, until stop is called. None of their requests may fail.
func (w *walker) customers() (stop func()) {
	w.t.Helper()
	key, err := topology.SigningKey(filepath.Join(w.dir, ".road/state"))
	if err != nil {
		w.t.Fatal(err)
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", w.ports["8080"])
	var customers []string
	for i := range 50 {
		customers = append(customers, key.Mint(tokens.Claims{Role: "customer", Subject: fmt.Sprint("customer-", i), TTL: time.Hour}))
	}
	plan := load.Plan{URL: url, Tokens: customers, SKUs: []string{"tea-assam", "cup-celadon"}, Rate: 20, For: time.Hour}
	stopOrders := pgtest.Run(w.t, func(ctx context.Context) error {
		return plan.Run(ctx, func(o load.Order) {
			if w.placed.Add(1); o.Err != nil && ctx.Err() == nil {
				w.refused.Add(1)
				w.t.Errorf("an order was refused: %v", o.Err)
			}
		})
	})
	read := ask.Request{URL: url + "/v1/" + w.module + "/openapi.json", Token: key.Mint(tokens.Claims{Role: "staff", Subject: "grace", TTL: time.Hour})}
	stopReads := pgtest.Run(w.t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			answer, err := read.Send(ctx, http.DefaultClient)
			if ctx.Err() == nil && (err != nil || answer.Status != http.StatusOK) {
				w.t.Errorf("a read failed: %d, %v", answer.Status, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
	return func() { stopOrders(); stopReads() }
}

// dataMoved writes the ledger's entry, with the record that seam move has printed.
func (w *walker) dataMoved() {
	w.t.Helper()
	records := regexp.MustCompile(`(?m)^ *moved: (\d{4}-\d\d-\d\d) .*$`).FindAllStringSubmatch(w.said, -1)
	if len(records) == 0 {
		w.t.Fatal("seam move has printed no record")
	}
	record := records[len(records)-1]
	entry := fmt.Sprintf(`extractions:
  - module: %s
    trigger: isolation
    measurement: the audit of addresses covers 41,000 lines; 3,100 once it stands alone (audit of 2026-02)
    despite: 39 of 40 pickers work in a hall without a network, where 1 works today (plan of 2026-02)
    owner: grace
    state: data moved
%s
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: %s, decommissioned: 2099-06-30}
    dual_run_ends: 2026-04-10
`, w.module, record[0], record[1])
	path := filepath.Join(w.dir, "deploy/extractions.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	next := strings.Replace(string(text), "extractions: []\n", entry, 1)
	if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.run("commit", "git add --all && git commit --quiet -m data-moved")
}

// check waits until each order has come to its end, with one mail.
func (w *walker) check() {
	w.t.Helper()
	count := func(module, query string) int {
		if module == w.module {
			return pgtest.Count(w.t, w.target, query)
		}
		return pgtest.Count(w.t, w.db, query)
	}
	const orders, mails = "SELECT count(*) FROM orders.orders", "SELECT count(*) FROM notifications.messages WHERE status = 'sent'"
	if w.placed.Load() < 100 {
		w.t.Errorf("only %d orders were placed meanwhile", w.placed.Load())
	}
	pgtest.Until(w.t, "every order is confirmed or cancelled, and has its mail", func() bool {
		return count("orders", orders+" WHERE status NOT IN ('confirmed', 'cancelled')") == 0 &&
			count("orders", orders) == count("notifications", mails)
	})
	placed, mailed, failed := count("orders", orders), count("notifications", mails), 0
	for _, module := range topology.Modules {
		failed += count(module, "SELECT count(*) FROM "+module+".failed")
	}
	parked := count(w.module, "SELECT count(*) FROM "+w.module+".parked")
	w.t.Logf("%d requests for an order, %d refused; %d orders, %d mails, %d failed events, %d parked",
		w.placed.Load(), w.refused.Load(), placed, mailed, failed, parked)
	if int64(placed) != w.placed.Load() || mailed != placed || failed > 0 || parked > 0 {
		w.t.Error("they do not agree")
	}
}

// refusals starts what must not start any more. Each says in a line what is wrong.
func (w *walker) refusals() {
	w.t.Helper()
	for name, test := range map[string]struct{ command, want string }{
		"the memory bus":                {"BUS=memory bin/monolith serve", w.module},
		"a monolith that still has it":  {".road/before serve", "SIDE is monolith"},
		"a façade with a route to none": {"sed 's/upstream: \"*'$MODULE'\"*/upstream: monolith/' .road/routes.yaml >.road/nobody.yaml; GATEWAY_ROUTES=.road/nobody.yaml bin/gateway serve", "does not serve"},
	} {
		command := exec.CommandContext(w.t.Context(), "bash", "-c", "set -a; . .road/secrets; . .road/connections; . .road/outside; set +a\n"+test.command)
		command.Dir = w.dir
		command.Env = append(os.Environ(), "ENVIRONMENT=development", "MODULE="+w.module, "HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "GATEWAY_ADDR=127.0.0.1:0",
			"BUS=nats", fmt.Sprintf("NATS_URL=nats://127.0.0.1:%d", w.ports["4222"]))
		out, err := command.CombinedOutput()
		code := command.ProcessState.ExitCode()
		last := lastLine(string(out))
		w.t.Logf("%s: %s", name, last)
		if err == nil || code != 2 || !strings.Contains(last, test.want) {
			w.t.Errorf("%s: exit code %d, %q; want 2 and %q", name, code, last, test.want)
		}
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
