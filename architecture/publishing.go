package architecture

import (
	"go/ast"
	"slices"
)

// published resolves an argument of PublishTx to the events that it may be: created there, or by a
// variable, a parameter or a function of the package. ok is false if any cannot be determined.
func (r *reading) published(s source, of ast.Expr, locals map[string][]ast.Expr, depth int) (facts []Use, ok bool) {
	if depth > 8 { // a variable that is assigned from itself
		return nil, false
	}
	all := func(of []ast.Expr) (facts []Use, ok bool) {
		ok = len(of) > 0
		for _, one := range of {
			more, read := r.published(s, one, locals, depth+1)
			facts, ok = append(facts, more...), ok && read
		}
		return facts, ok
	}
	if e, ok := r.event(s, of, 0); ok { // a type, of a parameter or a variable
		return []Use{e}, true
	}
	switch x := of.(type) {
	case *ast.UnaryExpr: // &fact
		return r.published(s, x.X, locals, depth+1)
	case *ast.ParenExpr:
		return r.published(s, x.X, locals, depth+1)
	case *ast.CompositeLit:
		e, ok := r.event(s, x.Type, 0)
		return []Use{e}, ok
	case *ast.Ident:
		return all(locals[x.Name])
	case *ast.IndexExpr: // an element of a list literal, here or in a variable
		switch list := x.X.(type) {
		case *ast.CompositeLit:
			return all(list.Elts)
		case *ast.ArrayType:
			return r.published(s, list.Elt, locals, depth+1)
		case *ast.Ident:
			var elements []ast.Expr
			for _, as := range locals[list.Name] {
				elements = append(elements, &ast.IndexExpr{X: as})
			}
			return all(elements)
		}
	case *ast.CallExpr:
		if e, ok := r.event(s, x.Fun, 0); ok { // ordersapi.Placed(like)
			return []Use{e}, true
		}
		return r.answered(x.Fun, depth)
	}
	return nil, false
}

// answered returns the events that a function of the package may return.
func (r *reading) answered(fun ast.Expr, depth int) (facts []Use, ok bool) {
	name, _ := fun.(*ast.Ident)
	if method, is := fun.(*ast.SelectorExpr); is {
		name = method.Sel
	}
	if name == nil || len(r.methods[name.Name]) != 1 { // the name must be unique
		return nil, false
	}
	f := r.methods[name.Name][0]
	s, locals := r.homes[f], variables(f)
	ok = true
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit: // its returns are not the function's
			return false
		case *ast.ReturnStmt:
			more, read := []Use(nil), false
			if len(n.Results) == 1 {
				more, read = r.published(s, n.Results[0], locals, depth+1)
			}
			facts, ok = append(facts, more...), ok && read
		}
		return true
	})
	return slices.DeleteFunc(facts, func(e Use) bool { return e.Name == "" }), ok && len(facts) > 0
}

// variables returns the parameters and variables of a declaration by name, each with its type or
// initial value, or as an element of the list that it ranges over.
func variables(decl ast.Decl) map[string][]ast.Expr {
	found := map[string][]ast.Expr{}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				found[name.Name] = append(found[name.Name], n.Type)
			}
		case *ast.ValueSpec:
			for i, name := range n.Names {
				switch {
				case n.Type != nil:
					found[name.Name] = append(found[name.Name], n.Type)
				case len(n.Names) == len(n.Values):
					found[name.Name] = append(found[name.Name], n.Values[i])
				}
			}
		case *ast.RangeStmt:
			if name, ok := n.Value.(*ast.Ident); ok {
				found[name.Name] = append(found[name.Name], &ast.IndexExpr{X: n.X})
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) {
					found[name.Name] = append(found[name.Name], n.Rhs[i])
				}
			}
		}
		return true
	})
	return found
}
