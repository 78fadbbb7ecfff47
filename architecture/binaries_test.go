package architecture

import (
	"fmt"
	"go/ast"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// binaries restricts what each program links: a service its own module, the monolith all modules
// that are not decommissioned, any other program none. No production binary links development code.
var binaries = rule{
	name: "binaries",
	why: "a process that links a module can call it, and an extracted module that the monolith still " +
		"links was never extracted; " +
		`see "Monolith code that is never deleted" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for _, at := range t.Programs() {
			f.subjects++
			command := strings.TrimPrefix(at, "cmd/")
			may, tool := claimed(t, command), under(at, "tools") || under(at, "lab") || under(at, "test")
			links := t.Links(at)
			for _, l := range links {
				module, contract := owner(l.Package)
				from, _ := owner(l.Via)
				if forDevelopment(l.Via) && !tool || module != "" && from == module {
					continue // the import that brings it is reported
				}
				what := "links " + l.Package
				if l.Via != at {
					what += " through " + l.Via
				}
				switch {
				case tool: // seam starts the others, and applies migrations and seeds; test/sandbox simulates what is outside
					if under(l.Package, "modules") && (!simulated(l.Package) || under(at, "tools")) {
						f.add(at, what, "let seam start the module's process, or call it over HTTP")
					}
				case forDevelopment(l.Package):
					f.add(at, what+", which is for development", "use it from tests, tools and lab only")
				case module != "" && !contract && !slices.Contains(may, module):
					f.add(at, what+" and does not run "+module, advice(t, command, module))
				}
			}
			before := len(f.broken)
			if command == monolith {
				f.namesDecommissioned(t)
			}
			if len(f.broken) == before { // what has to go first may be what is too much
				f.wires(t, at, len(may))
			}
			for _, module := range may {
				if !slices.ContainsFunc(links, func(l Link) bool { return l.Package == "modules/"+module }) {
					f.add(at, "does not link the module "+module,
						"serve it in "+at+", or set it to decommissioned in "+ledgerFile)
				}
			}
		}
		for at, barred := range apart {
			f.subjects++
			for _, l := range t.Links(at) {
				if under(l.Package, barred) {
					f.add(at, "links "+l.Package+" through "+l.Via, "take what it needs as an argument, from the composition root")
				}
			}
		}
		return f
	},
}

// wires refuses a program that does more than connect the modules that it serves, as far as its
// size shows that.
func (f *findings) wires(t Tree, program string, modules int) {
	if modules == 0 {
		return
	}
	lines := 0
	for _, file := range t.sources(program) {
		lines += code(t[file])
	}
	if budget := 90 + 12*modules; lines > budget {
		f.add(program, fmt.Sprintf("has %d lines of code, and a program of %d modules gets by with %d", lines, modules, budget),
			"move what is no wiring into the module, or into platform/service")
	}
}

// apart are packages, and what they do not link: what serves HTTP knows no database, and what runs
// modules knows no bus, so that a product may be without the one or the other.
var apart = map[string]string{
	"platform/web": "github.com/jackc/pgx/v5", "platform/service": "platform/natsbus",
}

// namesDecommissioned refuses the name of a decommissioned module in the monolith, which would
// claim to serve the module without its code. What calls it may name it: in its address, as in
// TOLLS_URL, and as the second of a pair in the list calls.
func (f *findings) namesDecommissioned(t Tree) {
	for _, file := range t.sources("cmd/monolith") {
		ast.Inspect(t.Go(file), func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.ValueSpec:
				if n.Names[0].Name == "calls" {
					f.callsOfDecommissioned(t, n)
					return false
				}
			}
			name := addressOf.ReplaceAllString(literal(n), "")
			words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) })
			for _, module := range t.Modules() {
				if slices.Contains(words, module) && isDecommissioned(t, module) {
					f.add(At(n), "names "+module+", which the monolith no longer runs", advice(t, monolith, module))
				}
			}
			return true
		})
	}
}

// addressOf matches the setting that is a module's address.
var addressOf = regexp.MustCompile(`env:"[A-Z0-9]+_URL"`)

// callsOfDecommissioned refuses calls that a decommissioned module makes: its own program lists
// them.
func (f *findings) callsOfDecommissioned(t Tree, list ast.Node) {
	ast.Inspect(list, func(n ast.Node) bool {
		if pair, ok := n.(*ast.CompositeLit); ok && pair.Type == nil && len(pair.Elts) > 0 {
			if caller := literal(pair.Elts[0]); isDecommissioned(t, caller) {
				f.add(At(pair), "lists a call by "+caller+", which the monolith no longer runs", advice(t, monolith, caller))
			}
		}
		return true
	})
}

// claimed returns the modules that a command runs, according to its name.
func claimed(t Tree, command string) []string {
	switch {
	case command == monolith:
		return slices.DeleteFunc(t.Modules(), func(m string) bool { return isDecommissioned(t, m) })
	case slices.Contains(t.Modules(), command):
		return []string{command}
	}
	return nil
}

func advice(t Tree, command, module string) string {
	if command == monolith && isDecommissioned(t, module) {
		return "delete the rest of " + module + " in cmd/monolith: in " + ledgerFile + " it is decommissioned"
	}
	return t.askFor(module)
}

// isDecommissioned reports whether the ledger has decommissioned a module.
func isDecommissioned(t Tree, module string) bool { return slices.Contains(t.ledger().Left(), module) }

// forDevelopment reports whether a package launches or simulates something, or is for tests.
func forDevelopment(pkg string) bool {
	for _, prefix := range []string{
		"platform/devkit", "tools", "lab", "architecture", "test", "testing",
		"github.com/nats-io/nats-server", "github.com/fergusstrange/embedded-postgres",
		"github.com/cloudevents",
	} {
		if under(pkg, prefix) {
			return true
		}
	}
	return simulated(pkg)
}

// TestBinariesLinkNothingForDevelopment uses the go command, because the imports of libraries are
// not in the tree.
func TestBinariesLinkNothingForDevelopment(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the go command")
	}
	t.Parallel()
	for _, program := range repository(t).Programs() {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../"+program).Output()
		if err != nil {
			t.Fatalf("go list -deps ./%s: %v", program, err)
		}
		var found []string
		for pkg := range strings.Lines(string(out)) {
			pkg = strings.TrimPrefix(strings.TrimSpace(pkg), Path+"/")
			if forDevelopment(pkg) && pkg != program {
				found = append(found, pkg)
			}
		}
		switch {
		case program == "tools/seam" && len(found) == 0:
			t.Errorf("tools/seam links no launcher: the search is broken")
		case !under(program, "tools") && !under(program, "lab") && !under(program, "test") && len(found) > 0:
			t.Errorf("%s: links %s, which is for development\n  instead: find what imports it, with go mod why -m",
				program, strings.Join(found, ", "))
		}
	}
}

// TestEveryProgramDescribesItsModules asks the programs of single modules, too, which the rules ask
// only for what the monolith does not link.
func TestEveryProgramDescribesItsModules(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds every program")
	}
	t.Parallel()
	tree := repository(t)
	for _, m := range tree.Modules() {
		alone, err := ask(t.Context(), root, m)
		if err != nil || len(alone) != 1 {
			t.Errorf("cmd/%s describes %d modules: %v", m, len(alone), err)
			continue
		}
		got, want := alone[0], tree.Description(m)
		got.Reaches, want.Reaches = nil, nil // a client in place of the module
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("cmd/%s (-the monolith's +its own):\n%s", m, diff)
		}
	}
}
