package architecture

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// imports restricts which folder may import which, and forbids renamed imports. What it does not
// list is refused.
var imports = rule{
	name: "imports",
	why: "a module that uses another's internals has to change together with it, so neither can leave; " +
		"see \"Boundaries by technical layer\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		for _, name := range t.GoFiles(true) {
			f.subjects++
			me, contract := ownerOfFile(name)
			if contract && path.Dir(name) != Contract(me) {
				f.add(name, "is a package inside of a contract, which no rule checks as one",
					"move it into "+Contract(me)+": a contract is one package")
			}
			if me != "" && strings.Contains(t[name], "\n//go:linkname") {
				f.add(name, "has a go:linkname, which reaches into another package past its exported names",
					"use what the other package exports, or request more of its owners")
			}
			for _, spec := range t.Go(name).Imports {
				if watched(spec) && me != "" && !isTest(name) {
					f.add(name+":"+strconv.Itoa(Line(spec)), "imports "+spec.Path.Value+" under another name",
						"leave the name out: other rules look for its uses by its own")
				}
				if own, wrong := renamed(t, spec); wrong {
					f.add(name+":"+strconv.Itoa(Line(spec)), "imports "+own+" under another name, "+spec.Name.Name,
						"leave the name out: package names are unique here, so that a search for one finds its uses")
				}
			}
			for _, i := range t.Imports(name) {
				what, fix := refuse(t, name, i.Path)
				if what != "" {
					f.add(name+":"+strconv.Itoa(i.Line), "imports "+i.Path+": "+what, fix)
				}
			}
		}
		return f
	},
}

// modulesMay are the libraries that modules may import outside of their tests. Every module sees
// each of them, and none is a bus.
var modulesMay = []string{
	"github.com/danielgtaylor/huma/v2", "github.com/google/uuid", "github.com/wneessen/go-mail",
	"github.com/wneessen/go-mail/smtp",
	"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn", "github.com/jackc/pgx/v5/pgxpool",
	"github.com/jackc/pgx/v5/pgtype", // as sqlc writes numeric, interval and time
}

// refuse returns what is wrong with a file's import, and what to do instead, or nothing. The order
// of the cases matters: the first that fits decides.
func refuse(t Tree, file, imported string) (what, fix string) {
	folder, ours := Inside(imported)
	owner, contract := owner(folder)
	test := isTest(file)
	bus := strings.HasPrefix(imported, "github.com/ThreeDotsLabs/watermill") ||
		strings.HasPrefix(imported, "github.com/nats-io/")
	me, iAmContract := ownerOfFile(file)
	switch {
	case me != "" && (imported == "unsafe" || imported == "C"):
		return "it reaches past the compiler, and past what other packages export", "do not use it: no module needs it"
	case iAmContract && (ours || !standard(imported)):
		return "a contract imports only the standard library",
			"use plain types: a subscriber links all that a contract imports"
	case bus && !under(file, "platform") && !under(file, "lab"):
		return "modules do not depend on a bus", "publish with PublishTx of its outbox and listen with events.On"
	case ours && level(folder) > level(path.Dir(file)):
		top, _, _ := strings.Cut(file, "/")
		return "it is above " + top + " in the tower: " + strings.Join(tower, ", "),
			"take what it needs as an argument, or move what is shared to platform/"
	case ours && under(folder, "platform/devkit") && !under(file, "platform/devkit") &&
		!test && !simulated(path.Dir(file)) && !under(file, "test") && !under(file, "tools") && !under(file, "lab"):
		return "devkit is for development", "use it from tests, tools or lab: no production binary links it"
	case ours && simulated(folder) && (me != owner || !test && !simulated(path.Dir(file))) && !under(file, "test") && !under(file, "lab"):
		return "it simulates what is outside, for development", "use it from test/sandbox, lab and the tests of " + owner
	case me == "":
		return command(t, file, imported, owner, contract, folder)
	case rules(t, file) && !standard(imported):
		return "the rules of a module are plain Go, and the row Rules of modules/" + me + "/README.md links this file",
			"keep access to the database or the network in the use case's file, and pass the rules values"
	case simulated(path.Dir(file)) && owner == me && !simulated(folder):
		return "what is outside does not know the module", "simulate what the module sees of it"
	case owner != "" && owner != me && under(folder, "migrations"):
		return "this is another module's schema", t.askFor(owner)
	case owner != "" && owner != me && !contract:
		return "this is internal to another module", t.askFor(owner)
	case !test && under(file, "modules") && !simulated(path.Dir(file)) && !ours && !standard(imported) && !slices.Contains(modulesMay, imported):
		return "it is not on the list of what modules may import",
			"do it in platform/, or add it to modulesMay in architecture/imports_test.go, with a reason for the review"
	}
	return "", ""
}

// command returns what is wrong with an import of a module by a file of none: only the module's own
// service, the monolith and tests around all may import it; the launchers may apply its schema.
func command(t Tree, file, imported, owner string, contract bool, folder string) (what, fix string) {
	dir, name := path.Split(path.Dir(file))
	switch {
	case !standard(imported) && dir == "cmd/" && name != facade && !under(file, "cmd/"+facade) && !isTest(file) && !mayWire(imported):
		return "a program only connects modules", "do it in the module, as a handler or a use case; what every program needs is in platform/service"
	case owner == "" || contract || under(file, "lab") || under(file, "architecture") || under(file, "test") && simulated(folder):
	case dir == "cmd/" && (name == owner || name == "monolith"):
	case under(file, "tools") && (under(folder, "migrations") || isTest(file)):
	case dir == "cmd/":
		return "cmd/" + name + " runs only its own module", t.askFor(owner)
	default:
		return path.Dir(file) + " is not a program of the module " + owner,
			"make it a verb of cmd/" + owner + ", or " + t.askFor(owner)
	}
	return "", ""
}

// mayWire reports whether a program that serves modules may import a package that is no standard
// one.
func mayWire(imported string) bool {
	folder, _ := Inside(imported)
	return under(folder, "modules") || under(folder, "migrations") ||
		slices.Contains([]string{"platform/service", "platform/natsbus", "platform/events", "platform/web", "platform/process"}, folder)
}

// watched reports whether an import gives another name to a package whose uses a rule looks for.
func watched(spec *ast.ImportSpec) bool {
	imported, _ := strconv.Unquote(spec.Path.Value)
	return spec.Name != nil && spec.Name.Name != "_" && slices.Contains([]string{
		"time", "os", "net", "net/http", "sync", "sync/atomic",
		"github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgconn", "github.com/jackc/pgx/v5/pgxpool",
	}, imported)
}

// renamed reports whether an import of our own has another name than its package declares, which
// may differ from its folder's.
func renamed(t Tree, spec *ast.ImportSpec) (imported string, wrong bool) {
	imported, _ = strconv.Unquote(spec.Path.Value)
	folder, ours := Inside(imported)
	if !ours || spec.Name == nil || spec.Name.Name == "_" {
		return imported, false
	}
	files := t.sources(folder)
	return imported, len(files) > 0 && t.Go(files[0]).Name.Name != spec.Name.Name
}

// standard reports whether an import is of the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// rulesOf matches the row of a module's canvas that links the files of its rules.
var rulesOf = regexp.MustCompile(`(?m)^\| \*\*Rules\*\* \|.*$`)

// rules reports whether a file holds a module's rules, according to its canvas.
func rules(t Tree, file string) bool {
	module, _ := ownerOfFile(file)
	row := rulesOf.FindString(t["modules/"+module+"/README.md"])
	return strings.Contains(row, "("+path.Base(file)+")") && path.Dir(file) == "modules/"+module
}
