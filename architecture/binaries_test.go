package architecture

import (
	"go/ast"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// binaries says what each program links: a service its own module, the monolith all that are not decommissioned, anything else none;
// and nothing that runs in production links what is only for development.
var binaries = rule{
	name: "binaries",
	why: "a process that links a module can call it, and an extracted module that the monolith still links was never extracted; " +
		`see "Monolith code that is never deleted" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, at := range t.Programs() {
			f.subjects++
			command := strings.TrimPrefix(at, "cmd/")
			may := claimed(t, command)
			links := t.Links(at)
			for _, l := range links {
				module, contract := owner(l.Package)
				if from, _ := owner(l.Via); forDevelopment(l.Via) && command != "seam" || module != "" && from == module {
					continue // what brings it is told, and that is enough
				}
				what := "links " + l.Package
				if l.Via != at {
					what += " through " + l.Via
				}
				switch {
				case command == "seam": // it starts the others, and stocks the shelves with the migrations' own seed
					if under(l.Package, "modules") {
						f.add(at, what, "let seam start the module's process, or ask it over HTTP")
					}
				case forDevelopment(l.Package):
					f.add(at, what+", which is for development", "use it from tests and from cmd/seam only")
				case module != "" && !contract && !slices.Contains(may, module):
					f.add(at, what+" and does not run "+module, advice(t, command, module))
				}
			}
			if command == "monolith" {
				f.namesTheGone(t)
			}
			for _, module := range may {
				if !slices.ContainsFunc(links, func(l Link) bool { return l.Package == "modules/"+module }) {
					f.add(at, "does not link the module "+module, "serve it in "+at+"; a module that was extracted and deleted is decommissioned in "+ledgerFile)
				}
			}
		}
		return f
	},
	refuses: []plant{
		{name: "a service links another module through a package in between", file: "cmd/orders/also.go",
			text: "package main\n\nimport _ \"example.com/shop/modules/payments\"", want: "cmd/orders: links modules/payments"},
		{name: "the façade links a module", file: "cmd/gateway/also.go",
			text: "package main\n\nimport _ \"example.com/shop/modules/orders\"", want: "cmd/gateway: links modules/orders"},
		{name: "the monolith links the broker's server", file: "cmd/monolith/also.go",
			text: "package main\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"", want: "for development"},
		{name: "a service links the launchers through platform", file: "platform/service/also.go",
			text: "package service\n\nimport _ \"example.com/shop/topology\"", want: "cmd/payments: links topology through platform/service"},
		{name: "a program where nobody looks", file: "platform/web/ask/main.go",
			text: "package main\n\nimport _ \"example.com/shop/modules/orders\"", want: "platform/web/ask: links modules/orders"},
		{name: "a program within a program", file: "cmd/orders/import/main.go",
			text: "package main\n\nimport _ \"example.com/shop/modules/orders\"", want: "cmd/orders/import: links modules/orders"},
		{name: "the monolith links what was decommissioned", file: ledgerFile, whole: true, text: decommissioned,
			given: []plant{{file: "cmd/monolith/also.go", text: "package main\n\nimport _ \"example.com/shop/modules/payments\""}}, // today's may have let it go
			want:  "cmd/monolith: links modules/payments and does not run payments"},
		{name: "the monolith names what was decommissioned", file: ledgerFile, whole: true, text: decommissioned,
			given: []plant{{file: "cmd/monolith/also.go", text: "package main\n\nvar also = []string{\"payments\"}"}},
			want:  "cmd/monolith/also.go:3: names payments, which the monolith no longer runs"},
		{name: "the monolith forgets a module", file: "modules/nobodyhas/go.mod", text: "module example.com/shop/modules/nobodyhas",
			want: "cmd/monolith: does not link the module nobodyhas"},
	},
	accepts: []plant{
		{name: "a service links another's contract", file: "cmd/payments/also.go",
			text: "package main\n\nimport _ \"example.com/shop/modules/inventory/inventoryapi\""},
		{name: "seam links the launchers", file: "cmd/seam/also.go",
			text: "package main\n\nimport _ \"example.com/shop/platform/devkit/paysim\""},
		{name: "a test links a launcher", file: "cmd/orders/also_test.go",
			text: "package main\n\nimport _ \"example.com/shop/topology\""},
	},
}

// namesTheGone looks for what is left of a decommissioned module once its import is deleted: a monolith that still takes its name for one of
// its own says that it serves the module, and serves nothing.
func (f *findings) namesTheGone(t Tree) {
	for _, file := range t.Below("cmd/monolith", ".go") {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		ast.Inspect(t.Go(file), func(n ast.Node) bool {
			if _, ok := n.(*ast.ImportSpec); ok {
				return false
			}
			words := strings.FieldsFunc(strings.ToLower(literal(n)), func(r rune) bool { return !unicode.IsLetter(r) })
			for _, module := range t.Modules() {
				if slices.Contains(words, module) && gone(t, module) {
					f.add(At(n), "names "+module+", which the monolith no longer runs", advice(t, "monolith", module))
				}
			}
			return true
		})
	}
}

// claimed are the modules that a command runs, which its name says.
func claimed(t Tree, command string) []string {
	switch {
	case command == "monolith":
		return slices.DeleteFunc(t.Modules(), func(m string) bool { return gone(t, m) })
	case slices.Contains(t.Modules(), command):
		return []string{command}
	}
	return nil
}

func advice(t Tree, command, module string) string {
	if command == "monolith" && gone(t, module) {
		return "delete what is left of " + module + " in cmd/monolith: " + ledgerFile + " says that it is decommissioned"
	}
	return "call or hear it through its contract, " + module + "api"
}

// gone says that the ledger has decommissioned a module. A ledger that cannot be read is another rule's.
func gone(t Tree, module string) bool {
	ledger, _ := ParseLedger(t[ledgerFile])
	return slices.Contains(ledger.Left(), module)
}

// forDevelopment says that a package launches or imitates something, or is for tests.
func forDevelopment(pkg string) bool {
	for _, prefix := range []string{
		"platform/devkit", "topology", "cmd/seam", "architecture", "test", "testing",
		"github.com/nats-io/nats-server", "github.com/testcontainers", "github.com/fergusstrange/embedded-postgres",
		"github.com/cloudevents",
	} {
		if under(pkg, prefix) {
			return true
		}
	}
	return false
}

// TestBinariesLinkNothingForDevelopment asks the go command for what the tree does not show: what libraries link in their turn.
func TestBinariesLinkNothingForDevelopment(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks the go command")
	}
	t.Parallel()
	for _, program := range repository(t).Programs() {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../"+program).Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", program, err)
		}
		var found []string
		for pkg := range strings.Lines(string(out)) {
			pkg = strings.TrimPrefix(strings.TrimSpace(pkg), Shop+"/")
			if forDevelopment(pkg) && pkg != program {
				found = append(found, pkg)
			}
		}
		switch {
		case program == "cmd/seam" && len(found) == 0:
			t.Errorf("not even cmd/seam links a launcher: the search is broken")
		case program != "cmd/seam" && len(found) > 0:
			t.Errorf("%s: links %s, which is for development\n  instead: find who imports it with: go mod why -m", program, strings.Join(found, ", "))
		}
	}
}
