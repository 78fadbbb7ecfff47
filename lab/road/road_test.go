// Package road walks deploy/EXTRACT.md: its commands, as they stand on the page, in one shell, while
// customers place orders.
package road

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/postgres"
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
			w.walk("Out: 2") // the façade is there
			w.cutOver()
			w.run("keep the old monolith", "cp bin/monolith .road/before")
			w.walk("For good")
			stop()
			w.check()
			w.refusals()
		})
	}
}

// walker is a shell in a copy of the repository.
type walker struct {
	t       *testing.T
	module  string
	dir     string
	ports   map[string]int // by those of the page
	pages   map[string][]string
	in      io.Writer
	out     *bufio.Reader
	db      *pgxpool.Pool
	placed  atomic.Int64
	refused atomic.Int64
}

// ports of the page. Those of operators' pages are 100 above.
var onPage = []string{"8080", "8090", "8094"}

func begin(t *testing.T, module string) *walker {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{t: t, module: module, ports: map[string]int{}, pages: blocks(t, filepath.Join(root, "deploy/EXTRACT.md"))}
	if w.dir, err = os.MkdirTemp("", "road-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	copied := exec.CommandContext(t.Context(), "bash", "-ec",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
		tar -cf - --null -T - | tar -xf - -C "$1"; cd "$1"; git init --quiet; git add --all; git -c user.name=ada -c user.email=ada@mail.example commit --quiet -m template`,
		"bash", w.dir)
	copied.Dir = root
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, out)
	}
	for _, port := range onPage {
		w.ports[port] = w.twoPorts()
	}
	if w.ports["4222"], err = freeport.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	routes := filepath.Join(w.dir, "deploy/routes.yaml")
	text, err := os.ReadFile(routes)
	if err == nil {
		err = os.WriteFile(routes, []byte(w.onFreePorts(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	server, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	database := postgres.WithDatabase(server.URL(), "shop")
	if w.db, err = pgxpool.New(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.db.Close)
	w.shell("MODULE="+module, "DATABASE_URL="+database, "SEAM_STATE="+filepath.Join(w.dir, ".road/state"),
		fmt.Sprintf("NATS_URL=nats://127.0.0.1:%d", w.ports["4222"]), fmt.Sprintf("INVENTORY_URL=http://127.0.0.1:%d", w.ports["8080"]),
		"LOG_FORMAT=text")
	return w
}

// blocks returns the shell commands of the page by heading, those of steps with the step's number.
func blocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	heading, step := "", ""
	for _, m := range regexp.MustCompile("(?ms)^## (.*?)$|^([0-9])\\. |^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		switch {
		case m[1] != "":
			heading, step = m[1], ""
		case m[2] != "":
			step = m[2]
		default:
			found[heading] = append(found[heading], step+"\n"+m[3])
		}
	}
	return found
}

// twoPorts returns a free port whose port for operators, 100 above, is free as well.
func (w *walker) twoPorts() int {
	w.t.Helper()
	for range 100 {
		port, err := freeport.Find(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if freeport.Check(w.t.Context(), port+100) == nil {
			return port
		}
	}
	w.t.Fatal("no two free ports")
	return 0
}

// shell starts the shell in which all blocks run. What it has started ends with the test.
func (w *walker) shell(env ...string) {
	w.t.Helper()
	command := exec.Command("bash") //nolint:noctx // it is killed with all that it has started
	command.Dir, command.Env = w.dir, append(os.Environ(), append(env, "SPLIT=", "CANARY=", "PORT=0")...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := command.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = write.Close()
	w.in, w.out = in, bufio.NewReader(read)
	w.t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		_ = read.Close()
	})
}

// walk runs the blocks of the headings; those of "Out: 2" are from step 2 on.
func (w *walker) walk(headings ...string) {
	w.t.Helper()
	for _, heading := range headings {
		heading, from, _ := strings.Cut(heading, ": ")
		if len(w.pages[heading]) == 0 {
			heading, from = heading+": "+from, ""
		}
		if len(w.pages[heading]) == 0 {
			w.t.Fatalf("the page has no commands below %q", heading)
		}
		for _, block := range w.pages[heading] {
			step, commands, _ := strings.Cut(block, "\n")
			if step >= from {
				w.run(heading+" "+step, commands)
			}
		}
	}
}

// onFreePorts returns a text with other ports, and with a pause at each weight.
func (w *walker) onFreePorts(text string) string {
	for _, port := range onPage {
		for operators := range 2 {
			number, _ := strconv.Atoi(port)
			text = strings.ReplaceAll(text, fmt.Sprint(number+100*operators), fmt.Sprint(w.ports[port]+100*operators))
		}
	}
	text = regexp.MustCompile(`(?m)^( *bin/seam route (?:set|rollback).*)$`).ReplaceAllString(text, "$1\nsleep 2") // of load at each weight
	text = strings.ReplaceAll(text, "bin/sandbox serve", "bin/sandbox serve --free-ports")
	return strings.ReplaceAll(text, "bin/seam broker", fmt.Sprint("bin/seam broker --port ", w.ports["4222"]))
}

// run runs a block's commands one after the other, each of which must succeed.
func (w *walker) run(name, commands string) {
	w.t.Helper()
	commands = w.onFreePorts(commands)
	const ended = "the block has ended with "
	began := time.Now()
	if _, err := fmt.Fprintf(w.in, "set -e\ntrap 'code=$?; echo; echo \"%s$code\"' EXIT\n%s\ntrap - EXIT; set +e; echo; echo '%[1]s0'\n", ended, commands); err != nil {
		w.t.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := w.out.ReadString('\n')
		if code, ok := strings.CutPrefix(strings.TrimSpace(line), ended); ok {
			w.t.Logf("%s, %s:\n%s", name, time.Since(began).Round(time.Millisecond), said.String())
			if code != "0" {
				w.t.Fatalf("%s ended with %s", name, code)
			}
			return
		}
		said.WriteString(line)
		if err != nil {
			w.t.Fatalf("%s: the shell has ended: %v\n%s", name, err, said.String())
		}
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
	staff := key.Mint(tokens.Claims{Role: "staff", Subject: "grace", TTL: time.Hour})
	stopReads := pgtest.Run(w.t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			w.read(ctx, url+"/v1/"+w.module+"/openapi.json", staff)
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
	return func() { stopOrders(); stopReads() }
}

func (w *walker) read(ctx context.Context, url, token string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		w.t.Error(err)
		return
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		w.t.Errorf("a read failed: %v", err)
		return
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		w.t.Errorf("a read failed: %s", response.Status)
	}
}

// cutOver writes the ledger's entry, as step 0 asks for.
func (w *walker) cutOver() {
	w.t.Helper()
	entry := fmt.Sprintf(`extractions:
  - module: %s
    trigger: isolation
    measurement: the audit of addresses covers 41,000 lines; 3,100 once it stands alone (audit of 2026-02)
    despite: 39 of 40 pickers work in a hall without a network, where 1 works today (plan of 2026-02)
    owner: grace
    state: cut over
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: 2099-05-15, decommissioned: 2099-06-30}
    dual_run_ends: 2026-04-10
`, w.module)
	path := filepath.Join(w.dir, "deploy/extractions.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	next := strings.Replace(string(text), "extractions: []\n", entry, 1)
	if err := os.WriteFile(path, []byte(next), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.run("commit", "git add --all && git -c user.name=ada -c user.email=ada@mail.example commit --quiet -m cut-over")
}

// check waits until each order has come to its end, with one mail.
func (w *walker) check() {
	w.t.Helper()
	count := func(query string) int { return pgtest.Count(w.t, w.db, query) }
	if w.placed.Load() < 100 {
		w.t.Errorf("only %d orders were placed meanwhile", w.placed.Load())
	}
	pgtest.Until(w.t, "every order is confirmed or cancelled, and has its mail", func() bool {
		return count("SELECT count(*) FROM orders.orders WHERE status NOT IN ('confirmed', 'cancelled')") == 0 &&
			count("SELECT count(*) FROM orders.orders") == count("SELECT count(*) FROM notifications.messages WHERE status = 'sent'")
	})
	placed := count("SELECT count(*) FROM orders.orders")
	mailed := count("SELECT count(*) FROM notifications.messages WHERE status = 'sent'")
	failed := count(`SELECT (SELECT count(*) FROM orders.failed) + (SELECT count(*) FROM inventory.failed)
		+ (SELECT count(*) FROM payments.failed) + (SELECT count(*) FROM notifications.failed)`)
	parked := count("SELECT count(*) FROM " + w.module + ".parked")
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
		command.Env = append(os.Environ(), "MODULE="+w.module, "HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "GATEWAY_ADDR=127.0.0.1:0",
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
