package architecture

import (
	"go/ast"
	"path"
	"slices"
)

// composed are the calls that only the programs show: what a module asks through an interface of plain types leaves no trace in its own
// code, but somebody gives it what answers.
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

// asks are the clients that a module's own process makes for it, and the addresses of others in it.
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

// given are the calls that a composition root makes possible: what one module's package or contract made is given to another's. It reads
// each function from the top, so a name stands for what it was given last; where only a branch gives it something, for both.
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

// origins say which modules made what the names of a function stand for.
type origins struct {
	makers map[string]string // the name of an import → the module whose package or contract it is
	names  map[string][]string
}

// of are the modules that made an expression, or a part of it. What a module makes is its own, whatever it was made of.
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
		case *ast.KeyValueExpr: // the name of a field is no variable
			modules = append(modules, o.of(n.Value)...)
			return false
		}
		return true
	})
	return modules
}

// assign notes what a name stands for from here on; a field that is set is handed to whom it belongs.
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

// hand are the calls that follow from giving something to a module's package, or to what it made.
func (o origins) hand(to ast.Expr, given []ast.Expr, where string) (calls []Use) {
	receivers := o.of(to)
	if name, ok := to.(*ast.Ident); ok && o.makers[name.Name] != "" {
		receivers = []string{o.makers[name.Name]}
	}
	for _, value := range given {
		for _, maker := range o.of(value) {
			for _, receiver := range receivers {
				if use := (Use{receiver, maker, "by what " + path.Dir(where) + " gives it", where}); receiver != maker && !slices.Contains(calls, use) {
					calls = append(calls, use)
				}
			}
		}
	}
	return calls
}

// at is an element of a list; of a call with several results it is the call.
func at(list []ast.Expr, i int) ast.Expr {
	switch {
	case i < len(list):
		return list[i]
	case len(list) == 1:
		return list[0]
	}
	return nil
}
