package architecture

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Use is one place where a module uses a contract, its own or another's.
type Use struct {
	Module string // that uses it
	Owner  string // of the contract
	Name   string // in the contract, such as Sent
	At     string // file:line
}

// Uses are the relations between modules that only their code shows, without tests.
type Uses struct {
	Creates []Use // an event with values in it, or an own event that is named at all
	Calls   []Use // something is called, or could be, or the type of its result is named
	Borrows []Use // an event is named to which the module does not listen
}

// Uses reads the code of the modules and of their own programs, and what each module says that it
// holds.
func (t Tree) Uses() (u Uses) {
	contracts := map[string]map[string]declared{}
	for _, m := range t.Modules() {
		contracts[m] = t.contract(m)
	}
	events, parts := map[string]Event{}, map[string][]string{} // by their names in Go; a type's events, by topic
	for _, e := range t.Events() {
		events[e.Go()] = e
		for part := range partsOf(e.Payload) {
			parts[part] = append(parts[part], e.Topic)
		}
	}
	for _, m := range t.Modules() {
		me := t.Description(m)
		listens := func(topic string) bool { return slices.Contains(me.Subscribes, topic) }
		for _, file := range append(t.sourcesBelow("modules/"+m), t.sources("cmd/"+m)...) {
			if path.Dir(file) == Contract(m) {
				continue
			}
			imported, created := t.contractsIn(file), map[ast.Node]bool{}
			ast.Inspect(t.Go(file), func(n ast.Node) bool {
				if n == nil {
					return false
				}
				if lit, ok := n.(*ast.CompositeLit); ok {
					of := elementOf(lit.Type)
					owner, name := selected(of, imported)
					if _, isEvent := events[owner+"api."+name]; isEvent {
						filled := len(lit.Elts) > 0
						if created[of] = filled || owner == m; filled {
							u.Creates = append(u.Creates, Use{m, owner, name, At(n)})
						}
					}
				}
				owner, name := selected(n, imported)
				use, full := Use{m, owner, name, At(n)}, owner+"api."+name
				event, isEvent := events[full]
				switch {
				case owner == m && isEvent && !created[n]:
					u.Creates = append(u.Creates, use)
				case owner == "" || owner == m || created[n] || contracts[owner][name].value:
				case isEvent && !listens(event.Topic):
					u.Borrows = append(u.Borrows, use)
				case !isEvent && !slices.ContainsFunc(parts[full], listens):
					u.call(use)
				}
				if of, route := pathOf(n); contracts[of] != nil && of != m {
					u.call(Use{m, of, route, At(n)})
				}
				return true
			})
		}
		for _, pkg := range me.Reaches {
			folder, _ := Inside(pkg)
			if of, _ := owner(folder); of != "" && of != m {
				u.call(Use{m, of, "through what it is given", "cmd/" + m})
			}
		}
	}
	return u
}

// call records a call; one that only a program shows, if the module's own code shows none.
func (u *Uses) call(use Use) {
	known := func(c Use) bool { return c.Module == use.Module && c.Owner == use.Owner }
	if !under(use.At, "cmd") || !slices.ContainsFunc(u.Calls, known) {
		u.Calls = append(u.Calls, use)
	}
}

// elementOf returns what a literal is made of: its type, or that of its elements, whose own may be
// left out.
func elementOf(literal ast.Expr) ast.Expr {
	switch of := literal.(type) {
	case *ast.ArrayType:
		return elementOf(of.Elt)
	case *ast.MapType:
		return elementOf(of.Value)
	case *ast.StarExpr:
		return elementOf(of.X)
	}
	return literal
}

// contractsIn maps the imports of a file to their modules. Rule imports forbids renaming them.
func (t Tree) contractsIn(file string) map[string]string {
	found := map[string]string{}
	for _, i := range t.Imports(file) {
		if module := contractOf(i.Path); module != "" {
			found[path.Base(i.Path)] = module
		}
	}
	return found
}

// selected reads parcelsapi.Sent as (parcels, Sent).
func selected(n ast.Node, contracts map[string]string) (owner, name string) {
	x, sel, _ := strings.Cut(dotted(n), ".")
	if contracts[x] == "" {
		return "", ""
	}
	return contracts[x], sel
}

// dotted returns a name with the one before it, as in os.Getenv, or "" for anything else.
func dotted(n ast.Node) string {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

var (
	// theirPath matches a module's route, or an address with one, and no sentence.
	theirPath = regexp.MustCompile(`^\S*(/v1/([a-z0-9_]+)(?:/[^\s?]*)?)(?:\?\S*)?$`)
	tagged    = regexp.MustCompile(`\w:"([^"]*)"`)
)

// pathOf returns the module and the route in a string, or in the value of a field's tag.
func pathOf(n ast.Node) (module, route string) {
	text := literal(n)
	for _, value := range append(tagged.FindAllStringSubmatch(text, -1), []string{"", text}) {
		if m := theirPath.FindStringSubmatch(value[1]); m != nil {
			return m[2], m[1]
		}
	}
	return "", ""
}

// literal returns the value of a string literal, or "" for anything else.
func literal(n ast.Node) string {
	if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if s, err := strconv.Unquote(lit.Value); err == nil {
			return s
		}
	}
	return ""
}

// sources returns the Go files directly in a folder, without tests.
func (t Tree) sources(folder string) []string {
	return slices.DeleteFunc(t.Match(folder+"/*.go"), isTest)
}

// sourcesBelow returns those at any depth of the folder.
func (t Tree) sourcesBelow(folder string) []string {
	return slices.DeleteFunc(t.Below(folder, ".go"), isTest)
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }
