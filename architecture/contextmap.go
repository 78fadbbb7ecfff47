package architecture

import (
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// eventsPackage is where PublishTx and On are.
const eventsPackage = Shop + "/platform/events"

// Use is one place where a module uses what a contract offers, its own or another's.
type Use struct {
	Module string // who uses it
	Owner  string // whose contract it is in
	Name   string // the identifier there: Placed
	At     string // file:line
}

// Uses are what the code of the modules says about who deals with whom, tests aside.
type Uses struct {
	Publishes []Use // an event is made
	Hears     []Use // an event has a handler
	Calls     []Use // something is called, or the type of an answer is named
	Borrows   []Use // an event or a type of events is named by a module that hears no such event
	Unread    []Use // events.On or PublishTx is given what cannot be read off the text; Name is that
}

// Uses reads the modules' code.
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
	for _, uses := range []*[]Use{&u.Publishes, &u.Hears, &u.Calls, &u.Borrows, &u.Unread} {
		slices.SortFunc(*uses, func(a, b Use) int { return strings.Compare(a.Module+" "+a.At, b.Module+" "+b.At) })
		*uses = slices.Compact(*uses)
	}
	return u
}

const (
	heard    = iota // it belongs to what the module hears anyway
	called          // it is there to be called
	borrowed        // it belongs to events, and the module hears none of them
)

// judge says what it means that a module names something in another's contract.
func (u Uses) judge(use Use, o offer) int {
	hears := func(event string) bool {
		return slices.ContainsFunc(u.Hears, func(h Use) bool {
			return h.Module == use.Module && h.Owner == use.Owner && (event == "" || h.Name == event)
		})
	}
	switch {
	case o.events[use.Name]:
		made := slices.ContainsFunc(u.Publishes, func(p Use) bool { return p.Module == use.Module && p.Owner == use.Owner && p.Name == use.Name })
		if made || hears(use.Name) { // making it is a violation of its own
			return heard
		}
		return borrowed
	case slices.ContainsFunc(o.eventsWith[use.Name], hears):
		return heard
	case o.constants[use.Name]:
		return heard // a word; whoever uses nothing else of the contract has no use for it
	case o.callable[use.Name]:
		return called
	case len(o.eventsWith[use.Name]) > 0:
		return borrowed
	default:
		return called
	}
}

// packages are the module's own folders with the files in them; neither its contract nor tests.
func (t Tree) packages(module string) map[string][]string {
	folders := map[string][]string{}
	for _, file := range t.Below("modules/"+module, ".go") {
		if folder := path.Dir(file); folder != Contract(module) && !strings.HasSuffix(file, "_test.go") {
			folders[folder] = append(folders[folder], file)
		}
	}
	return folders
}

// served are the modules that a command's own files import.
func (t Tree) served(command string) []string {
	var found []string
	for _, file := range t.sources("cmd/" + command) {
		for _, i := range t.Imports(file) {
			folder, _ := Inside(i.Path)
			if module, ok := strings.CutPrefix(folder, "modules/"); ok && !strings.Contains(module, "/") && !slices.Contains(found, module) {
				found = append(found, module)
			}
		}
	}
	slices.Sort(found)
	return found
}

// sources are the Go files directly in a folder, without tests.
func (t Tree) sources(folder string) []string {
	return slices.DeleteFunc(t.Match(folder+"/*.go"), func(file string) bool { return strings.HasSuffix(file, "_test.go") })
}

// contractsIn says which name in a file stands for whose contract. Nothing of ours is imported under another name (rule imports).
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
	// theirPath finds the routes of a module in a string that is an address, or a part of one, and no sentence.
	theirPath = regexp.MustCompile(`^\S*(/v1/([a-z0-9_]+))(?:[/?]\S*)?$`)
	tagged    = regexp.MustCompile(`\w:"([^"]*)"`)
)

// pathOf is the module whose routes a string leads to, and the route: the string itself, or a value in a field's tag.
func pathOf(n ast.Node) (module, route string) {
	text := literal(n)
	for _, value := range append(tagged.FindAllStringSubmatch(text, -1), []string{"", text}) {
		if m := theirPath.FindStringSubmatch(value[1]); m != nil {
			return m[2], m[1]
		}
	}
	return "", ""
}
