package architecture

import (
	"cmp"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Event is a type of a contract with a Topic: a fact that its module publishes.
type Event struct {
	Module string // the module whose contract it is in
	Name   string // the type, as Placed
	Topic  string // the wire name; "" if Topic does not return a literal
	Doc    string // the comment over the type, in one line: when the fact is true
	Struct bool   // it is one, as an event should be
	File   string // where the type is declared
	Line   int
}

// Contract returns the folder of a module's contract, whether it exists or not.
func Contract(module string) string { return "modules/" + module + "/" + module + "api" }

// Go returns the event as a subscriber writes it: ordersapi.Placed.
func (e Event) Go() string { return e.Module + "api." + e.Name }

// At returns where the event is declared, as file:line.
func (e Event) At() string { return e.File + ":" + strconv.Itoa(e.Line) }

// Events returns the events of all contracts, by module and in the order of their declaration.
func (t Tree) Events() []Event {
	var found []Event
	for _, module := range t.Modules() {
		topics := t.topics(module)
		for _, file := range t.contractFiles(module) {
			for spec, doc := range types(t.Go(file)) {
				topic, ok := topics[spec.Name.Name]
				if !ok {
					continue
				}
				e := Event{Module: module, Name: spec.Name.Name, Topic: topic, File: file, Line: Line(spec), Doc: doc}
				_, e.Struct = spec.Type.(*ast.StructType)
				found = append(found, e)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

// unnamed reports whether a topic of the module cannot be determined, so that any may be the
// missing one. Rule contextmap reports this, and the others wait until it is fixed.
func (t Tree) unnamed(module string) bool {
	return slices.ContainsFunc(t.Events(), func(e Event) bool { return e.Module == module && e.Topic == "" })
}

func topicOf(topic string) string {
	module, _, _ := strings.Cut(topic, ".")
	return module
}

func (t Tree) contractFiles(module string) []string {
	return t.sources(Contract(module))
}

// topics returns the wire names by the type that has the method Topic() string.
func (t Tree) topics(module string) map[string]string {
	topics := map[string]string{}
	for _, file := range t.contractFiles(module) {
		for _, decl := range t.Go(file).Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv.NumFields() != 1 || method.Name.Name != "Topic" ||
				method.Type.Params.NumFields() != 0 {
				continue
			}
			receiver := method.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if name, ok := receiver.(*ast.Ident); ok {
				topics[name.Name] = returned(method)
			}
		}
	}
	return topics
}

// returned returns the string literal that is all a function returns, or "".
func returned(f *ast.FuncDecl) string {
	if f.Body == nil || len(f.Body.List) != 1 {
		return ""
	}
	if r, ok := f.Body.List[0].(*ast.ReturnStmt); ok && len(r.Results) == 1 {
		return literal(r.Results[0])
	}
	return ""
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

// types yields the types that a file declares, each with its comment in one line.
func types(file *ast.File) func(yield func(*ast.TypeSpec, string) bool) {
	return func(yield func(*ast.TypeSpec, string) bool) {
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				spec := spec.(*ast.TypeSpec)
				doc := spec.Doc
				if doc == nil {
					doc = gen.Doc
				}
				if !yield(spec, oneLine(doc)) {
					return
				}
			}
		}
	}
}

// contractOf returns the module whose contract the import path is, or "".
func contractOf(importPath string) string {
	folder, ours := Inside(importPath)
	module := path.Base(path.Dir(folder))
	if ours && folder == Contract(module) {
		return module
	}
	return ""
}
