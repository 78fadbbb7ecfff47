package architecture

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
)

// offer is what a contract declares, by its purpose.
type offer struct {
	events     map[string]bool     // by name
	eventsWith map[string][]string // a type that events contain → these events
	callable   map[string]bool     // functions, variables and types outside of events, and the types that they need
	constants  map[string]bool
}

// offer reads a module's contract.
func (t Tree) offer(module string, events []Event) offer {
	o := offer{events: map[string]bool{}, eventsWith: map[string][]string{},
		callable: map[string]bool{}, constants: map[string]bool{}}
	for _, e := range events {
		if e.Module == module {
			o.events[e.Name] = true
		}
	}
	needs := map[string][]string{} // a declared name → the names in its declaration and its methods
	var others []string            // functions and variables
	for _, file := range t.contractFiles(module) {
		for _, decl := range t.Go(file).Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				name := decl.Name.Name
				if decl.Recv == nil {
					others = append(others, name)
				} else {
					name = receiver(decl)
				}
				needs[name] = append(needs[name], names(decl.Type)...)
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						needs[spec.Name.Name] = append(needs[spec.Name.Name], names(spec.Type)...)
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							needs[name.Name] = append(needs[name.Name], names(spec.Type)...)
							if decl.Tok == token.CONST {
								o.constants[name.Name] = true
							} else {
								others = append(others, name.Name)
							}
						}
					}
				}
			}
		}
	}
	for _, event := range slices.Sorted(maps.Keys(o.events)) {
		for name := range reach(event, needs) {
			if !o.events[name] {
				o.eventsWith[name] = append(o.eventsWith[name], event)
			}
		}
	}
	for name := range needs {
		if ast.IsExported(name) && !o.events[name] && !o.constants[name] && len(o.eventsWith[name]) == 0 {
			others = append(others, name)
		}
	}
	for _, name := range others {
		for needed := range reach(name, needs) {
			if ast.IsExported(needed) && !o.events[needed] {
				o.callable[needed] = true
			}
		}
	}
	return o
}

// reach returns a name and all that it needs, directly or not.
func reach(name string, needs map[string][]string) map[string]bool {
	reached := map[string]bool{}
	for waiting := []string{name}; len(waiting) > 0; {
		next := waiting[0]
		waiting = waiting[1:]
		if _, declared := needs[next]; declared && !reached[next] {
			reached[next] = true
			waiting = append(waiting, needs[next]...)
		}
	}
	return reached
}

func names(n ast.Expr) []string {
	if n == nil {
		return nil
	}
	var found []string
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr: // another package's
			return false
		case *ast.Ident:
			found = append(found, n.Name)
		}
		return true
	})
	return found
}

func receiver(method *ast.FuncDecl) string {
	if method.Recv.NumFields() == 0 {
		return ""
	}
	of := method.Recv.List[0].Type
	for {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.ParenExpr:
			of = x.X
		case *ast.IndexExpr:
			of = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
