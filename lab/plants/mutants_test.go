package plants

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/shop/architecture"
)

// TestMutants writes each planted violation into a copy of the repository on disk and runs the
// rules there: the violation's rule must fail. It prints what the author of the violation would
// read.
func TestMutants(t *testing.T) {
	if os.Getenv("ARCHITECTURE_MUTANTS") == "" {
		t.Skip("make long SUITE=mutants runs it")
	}
	tree := repository(t)
	copied := copyRepository(t)
	binary := filepath.Join(t.TempDir(), "architecture.test")
	run(t, copied, true, "go", "test", "-c", "-o", binary, "./architecture")
	survived, killed := 0, 0
	for _, p := range inCode {
		undo := p.write(t, tree, copied)
		out := run(t, filepath.Join(copied, "architecture"), false, binary, "-test.short", "-test.run", "^TestRules$")
		undo()
		if killed++; !strings.Contains(flat(out), flat(p.want)) {
			killed--
			survived++
			t.Errorf("%s survived:\n%s", p.name, out)
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(plants)) {
		for _, p := range plants[rule].refuses {
			if p.file == described { // no file
				continue
			}
			undo := p.write(t, tree, copied)
			out := run(t, filepath.Join(copied, "architecture"), false, binary, "-test.short", "-test.run",
				"^TestRules$/^"+rule+"$")
			undo()
			if !strings.Contains(out, "--- FAIL: TestRules/"+rule+" ") || !strings.Contains(flat(out), flat(p.want)) {
				survived++
				t.Errorf("%s: %s survived in %s:\n%s", rule, p.name, p.file, out)
				continue
			}
			killed++
			t.Logf("%s: %s\n%s", rule, p.name, messagesIn(out, rule))
		}
	}
	t.Logf("%d violations were written, %d were refused by their rule", killed+survived, killed)
	if killed < 25 {
		t.Errorf("only %d were refused, of at least 25", killed)
	}
}

// inCode are violations that only the compiled modules show: the rules' own plants of these change
// what the modules say.
var inCode = []plant{
	{name: "a handler that is not in the map", file: "modules/notifications/events.go", old: "return []events.Handler{",
		text:  "return []events.Handler{\n\t\tevents.On(func(context.Context, pgx.Tx, paymentsapi.Refunded) error { return nil }),",
		given: []plant{{file: "modules/notifications/events.go", old: "import (", text: "import (\n\t\"example.com/shop/modules/payments/paymentsapi\""}},
		want:  "notifications listens to payments.refunded.v1, which is not in the context map"},
	{name: "an event carries anything", file: "modules/orders/ordersapi/events.go", old: "\tEmail ", text: "\tNote any `json:\"note\"`\n\tEmail ",
		want: "ordersapi.Placed cannot be described: note, the type interface {}"},
	{name: "a program passes a module another one", file: "cmd/monolith/main.go", old: "return payments.New(cfg.Payments, p.DB, p.Outbox(), p.Log, time.Now)",
		text:  "m := payments.New(cfg.Payments, p.DB, p.Outbox(), p.Log, time.Now)\n\t\tm.Near = stock\n\t\treturn m",
		given: []plant{{file: "modules/payments/module.go", old: "type Module struct {", text: "type Module struct {\n\tNear any"}},
		want:  "payments calls inventory (through what it is given)"},
	{name: "New starts something", file: "modules/payments/module.go", old: "	m := &Module{cfg: cfg", text: "	go func() { select {} }()\n	m := &Module{cfg: cfg",
		want: "payments leaves 1 goroutines running"},
	{name: "New reads", file: "modules/payments/module.go", old: "	m := &Module{cfg: cfg",
		text: "	_, _ = db.Exec(context.Background(), \"SELECT 1\")\n	m := &Module{cfg: cfg",
		want: "payments panics in New where there is no database"},
	{name: "a module that is not in the workspace", file: "go.work", old: "\t./modules/orders\n", text: "",
		want: "go.work: does not use modules/orders"},
}

// TestNothingIsServedStale runs the rules by the go command until the result comes from its cache;
// a violation that is then planted must fail.
func TestNothingIsServedStale(t *testing.T) {
	if os.Getenv("ARCHITECTURE_MUTANTS") == "" {
		t.Skip("make long SUITE=mutants runs it")
	}
	tree := repository(t)
	copied := copyRepository(t)
	rules := func(mustPass bool) string {
		return run(t, copied, mustPass, "go", "test", "-short", "-run", "^TestRules$", "./architecture")
	}
	rules(true)
	if out := rules(true); !strings.Contains(out, "(cached)") {
		t.Fatalf("the cache was not used, so this proves nothing:\n%s", out)
	}
	for rule, of := range plants {
		i := slices.IndexFunc(of.refuses, func(p plant) bool { return p.file != described })
		if i < 0 { // all are of what the modules say
			continue
		}
		p := of.refuses[i]
		undo := p.write(t, tree, copied)
		if out := rules(false); !strings.Contains(out, "TestRules/"+rule) {
			t.Errorf("%s: %s was not refused after a cached run:\n%s", rule, p.name, out)
		}
		undo()
	}
}

// copyRepository copies the files with their times, so that the cache is used.
func copyRepository(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != ".git" && name != "bin" {
			run(t, root, true, "cp", "-Rp", name, to)
		}
	}
	return to
}

// write writes the plant into a folder and returns a function that removes it.
func (p plant) write(t *testing.T, tree architecture.Tree, folder string) (undo func()) {
	t.Helper()
	planted := p.in(t, tree)
	changed := map[string]bool{}
	for name := range tree {
		if planted[name] != tree[name] {
			changed[name] = true
		}
	}
	for name := range planted {
		if _, before := tree[name]; !before {
			changed[name] = true
		}
	}
	for name := range changed {
		put(t, filepath.Join(folder, name), planted, name)
	}
	return func() {
		for name := range changed {
			put(t, filepath.Join(folder, name), tree, name)
		}
	}
}

func put(t *testing.T, path string, tree architecture.Tree, name string) {
	t.Helper()
	text, there := tree[name]
	if !there {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Dir(path)) // this removes only an empty folder, which the plant made
		return
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flat returns a text without its line breaks, which the test framework indents.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

// messagesIn returns the messages of a rule from the output of go test.
func messagesIn(out, name string) string {
	_, after, _ := strings.Cut(out, "--- FAIL: TestRules/"+name+" ")
	_, after, _ = strings.Cut(after, "\n")
	after, _, _ = strings.Cut(after, "    --- ")
	after, _, _ = strings.Cut(after, "FAIL\n")
	return strings.TrimRight(after, "\n")
}

func run(t *testing.T, dir string, mustPass bool, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && mustPass {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
