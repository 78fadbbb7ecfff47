package architecture

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// eventsPackage declares PublishTx and On.
const eventsPackage = Shop + "/platform/events"

// Use is one place where a module uses a contract, its own or another's.
type Use struct {
	Module string // that uses it
	Owner  string // of the contract
	Name   string // in the contract, such as Placed
	At     string // file:line
}

// Uses are the relations between modules that their code shows, without tests.
type Uses struct {
	Publishes  []Use // an event value is created
	Subscribes []Use // a module listens to an event
	Calls      []Use // something is called, or the type of its result is named
	Borrows    []Use // an event, or a type in one, is named without a subscription
	Unread     []Use // the event of an On or PublishTx cannot be determined; Name says why
}

// Uses reads the code of the modules and the programs.
func (t Tree) Uses() Uses {
	var u Uses
	offers, events := map[string]offer{}, t.Events()
	for _, module := range t.Modules() {
		offers[module] = t.offer(module, events)
	}
	for _, module := range t.Modules() {
		var named []Use
		for _, files := range t.packages(module) {
			p := newReading(t, module, files, offers)
			p.read(&u)
			named = append(named, p.named...)
		}
		for _, use := range named {
			switch o := offers[use.Owner]; u.judge(use, o) {
			case called:
				u.Calls = append(u.Calls, use)
			case borrowed:
				u.Borrows = append(u.Borrows, use)
			}
		}
	}
	for _, use := range t.composed(offers) {
		if !slices.ContainsFunc(u.Calls, func(c Use) bool { return c.Module == use.Module && c.Owner == use.Owner }) {
			u.Calls = append(u.Calls, use)
		}
	}
	for _, uses := range []*[]Use{&u.Publishes, &u.Subscribes, &u.Calls, &u.Borrows, &u.Unread} {
		slices.SortFunc(*uses, func(a, b Use) int { return strings.Compare(a.Module+" "+a.At, b.Module+" "+b.At) })
		*uses = slices.Compact(*uses)
	}
	return u
}

const (
	subscribed = iota // part of an event that the module listens to
	called            // part of a synchronous call
	borrowed          // part of events, without a subscription to any
)

// judge classifies the use of a name of another module's contract.
func (u Uses) judge(use Use, o offer) int {
	of := func(event string) func(Use) bool {
		return func(u Use) bool { return u.Module == use.Module && u.Owner == use.Owner && u.Name == event }
	}
	subscribes := func(event string) bool { return slices.ContainsFunc(u.Subscribes, of(event)) }
	switch {
	case o.events[use.Name]:
		if slices.ContainsFunc(u.Publishes, of(use.Name)) || subscribes(use.Name) { // publishing has its own check
			return subscribed
		}
		return borrowed
	case slices.ContainsFunc(o.eventsWith[use.Name], subscribes):
		return subscribed
	case o.constants[use.Name]:
		return subscribed // a constant alone is harmless
	case o.callable[use.Name]:
		return called
	case len(o.eventsWith[use.Name]) > 0:
		return borrowed
	default:
		return called
	}
}

func (t Tree) packages(module string) map[string][]string {
	folders := map[string][]string{}
	for _, file := range t.Below("modules/"+module, ".go") {
		if folder := path.Dir(file); folder != Contract(module) && !strings.HasSuffix(file, "_test.go") {
			folders[folder] = append(folders[folder], file)
		}
	}
	return folders
}

func (t Tree) served(command string) []string {
	var found []string
	for _, file := range t.sources("cmd/" + command) {
		for _, i := range t.Imports(file) {
			folder, _ := Inside(i.Path)
			module, ok := strings.CutPrefix(folder, "modules/")
			if ok && !strings.Contains(module, "/") && !slices.Contains(found, module) {
				found = append(found, module)
			}
		}
	}
	slices.Sort(found)
	return found
}

// sources returns the Go files directly in a folder, without tests.
func (t Tree) sources(folder string) []string {
	isTest := func(file string) bool { return strings.HasSuffix(file, "_test.go") }
	return slices.DeleteFunc(t.Match(folder+"/*.go"), isTest)
}

// contractsIn maps the imports of a file to their modules. Rule imports forbids renaming them.
func (t Tree) contractsIn(file string) map[string]string {
	found := map[string]string{}
	for _, spec := range t.Go(file).Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if module := contractOf(imported); module != "" {
			found[path.Base(imported)] = module
		}
	}
	return found
}

// selected reads ordersapi.Placed as (orders, Placed).
func selected(n ast.Node, contracts map[string]string) (owner, name string) {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok && contracts[x.Name] != "" {
			return contracts[x.Name], s.Sel.Name
		}
	}
	return "", ""
}

var (
	// theirPath matches a module's route, or an address with one, and no sentence.
	theirPath = regexp.MustCompile(`^\S*(/v1/([a-z0-9_]+))(?:[/?]\S*)?$`)
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
