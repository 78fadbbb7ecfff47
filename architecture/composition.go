package architecture

import (
	"go/ast"
	"path"
	"slices"
)

// composed returns the calls that only the programs show: a module may call another through an
// interface of plain types, whose implementation a program passes to it.
func (t Tree) composed(offers map[string]offer) []Use {
	var calls []Use
	for _, command := range t.Commands() {
		served := t.served(command)
		for _, file := range t.sources("cmd/" + command) {
			if len(served) == 1 {
				calls = append(calls, t.asks(file, served[0], offers)...)
			}
			calls = append(calls, t.given(file)...)
		}
	}
	return calls
}

// asks returns the clients of other modules, and their addresses, in a module's own process.
func (t Tree) asks(file, module string, offers map[string]offer) (calls []Use) {
	contracts := t.contractsIn(file)
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		if owner, name := selected(n, contracts); owner != "" && owner != module && offers[owner].callable[name] {
			calls = append(calls, Use{module, owner, name, At(n)})
		}
		of, route := pathOf(n)
		if _, known := offers[of]; known && of != module {
			calls = append(calls, Use{module, of, route, At(n)})
		}
		return true
	})
	return calls
}

// given returns the calls that become possible when a program passes what one module's package or
// contract made to another's. It reads from the top: := replaces what a name stands for, = adds.
func (t Tree) given(file string) (calls []Use) {
	makers := t.contractsIn(file)
	for _, i := range t.Imports(file) {
		folder, _ := Inside(i.Path)
		if name := path.Base(folder); folder == "modules/"+name {
			makers[name] = name
		}
	}
	for _, decl := range t.Go(file).Decls {
		from := origins{makers: makers, names: map[string][]string{}}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					from.names[name.Name] = from.of(at(n.Values, i))
				}
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					calls = append(calls, from.assign(n, left, at(n.Rhs, i))...)
				}
			case *ast.CallExpr:
				if s, ok := n.Fun.(*ast.SelectorExpr); ok {
					calls = append(calls, from.hand(s.X, n.Args, At(n))...)
				}
			}
			return true
		})
	}
	return calls
}

// origins maps the names of a function to the modules that made their values.
type origins struct {
	makers map[string]string // the name of an import → the module whose package or contract it is
	names  map[string][]string
}

// of returns the modules that made an expression or a part of it. The result of a module's function
// is that module's, whatever its arguments.
func (o origins) of(e ast.Expr) (modules []string) {
	if e == nil {
		return nil
	}
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if owner, _ := selected(n.Fun, o.makers); owner != "" {
				modules = append(modules, owner)
				return false
			}
		case *ast.Ident:
			modules = append(modules, o.names[n.Name]...)
		case *ast.KeyValueExpr: // a field's name is not a variable
			modules = append(modules, o.of(n.Value)...)
			return false
		}
		return true
	})
	return modules
}

// assign records the value of a name from here on; setting a field passes the value to its owner.
func (o origins) assign(n *ast.AssignStmt, left, value ast.Expr) (calls []Use) {
	switch left := left.(type) {
	case *ast.Ident:
		made := o.of(value)
		if n.Tok.String() != ":=" {
			made = append(made, o.names[left.Name]...)
		}
		o.names[left.Name] = made
	case *ast.SelectorExpr:
		return o.hand(left.X, []ast.Expr{value}, At(n))
	}
	return calls
}

// hand returns the calls that become possible when a module, or what it made, is passed values.
func (o origins) hand(to ast.Expr, given []ast.Expr, where string) (calls []Use) {
	receivers := o.of(to)
	if name, ok := to.(*ast.Ident); ok && o.makers[name.Name] != "" {
		receivers = []string{o.makers[name.Name]}
	}
	for _, value := range given {
		for _, maker := range o.of(value) {
			for _, receiver := range receivers {
				use := Use{receiver, maker, "through what " + path.Dir(where) + " passes to it", where}
				if receiver != maker && !slices.Contains(calls, use) {
					calls = append(calls, use)
				}
			}
		}
	}
	return calls
}

// at returns an element of a list, or the only one, a call with several results.
func at(list []ast.Expr, i int) ast.Expr {
	switch {
	case i < len(list):
		return list[i]
	case len(list) == 1:
		return list[0]
	}
	return nil
}
