package architecture

import (
	"go/ast"
	"slices"
	"strconv"
)

// reading is a package of a module while it is read.
type reading struct {
	tree   Tree
	module string
	files  []string
	offers map[string]offer

	types   map[string]typed           // the package's own types
	methods map[string][]*ast.FuncDecl // functions and methods by name
	homes   map[*ast.FuncDecl]source
	named   []Use // every use of another module's contract
}

// source is a file, and the contracts by the names of its imports.
type source struct {
	file      *ast.File
	contracts map[string]string
	events    bool // whether it imports platform/events
}

type typed struct {
	of ast.Expr
	in source
}

func newReading(t Tree, module string, files []string, offers map[string]offer) *reading {
	r := &reading{tree: t, module: module, files: files, offers: offers,
		types: map[string]typed{}, methods: map[string][]*ast.FuncDecl{}, homes: map[*ast.FuncDecl]source{}}
	for _, file := range files {
		s := r.source(file)
		for spec := range types(s.file) {
			r.types[spec.Name.Name] = typed{spec.Type, s}
		}
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				r.methods[f.Name.Name] = append(r.methods[f.Name.Name], f)
				r.homes[f] = s
			}
		}
	}
	return r
}

func (r *reading) source(file string) source {
	s := source{file: r.tree.Go(file), contracts: r.tree.contractsIn(file)}
	for _, spec := range s.file.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == eventsPackage {
			s.events = true
		}
	}
	return s
}

// read adds the package's uses to u, and to named those that only all packages together decide.
func (r *reading) read(u *Uses) {
	for _, file := range r.files {
		s := r.source(file)
		for _, decl := range s.file.Decls {
			r.readDecl(u, s, decl)
		}
	}
}

func (r *reading) readDecl(u *Uses, s source, decl ast.Decl) {
	locals := variables(decl)
	ons := map[ast.Node]bool{} // already read as part of events.On[E] or of a call
	unread := func(what string, at ast.Node) { u.Unread = append(u.Unread, Use{r.module, "", what, At(at)}) }
	publish := func(e Use, ok bool, at ast.Node) {
		if ok {
			e.At = At(at)
			u.Publishes = append(u.Publishes, e)
		}
	}
	subscribe := func(e Use, ok bool, handler ast.Node) {
		if e.At = At(handler); ok {
			u.Subscribes = append(u.Subscribes, e)
			return
		}
		unread("a handler for an event that cannot be determined", handler)
	}
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			e, ok := r.event(s, element(n.Type), 0)
			publish(e, ok && len(n.Elts) > 0, n)
		case *ast.IndexExpr: // events.On[ordersapi.Placed]
			if s.isOn(n.X) {
				ons[n.X] = true
				e, ok := r.event(s, n.Index, 0)
				subscribe(e, ok, n)
			}
		case *ast.CallExpr:
			switch {
			case s.isOn(n.Fun) && len(n.Args) == 1:
				ons[n.Fun] = true
				e, ok := r.handled(s, n.Args[0], decl, locals)
				subscribe(e, ok, n)
			case isPublishTx(n.Fun) && len(n.Args) == 3:
				ons[n.Fun] = true
				facts, ok := r.published(s, n.Args[2], locals, 0)
				for _, e := range facts {
					publish(e, true, n)
				}
				if !ok {
					unread("the published event cannot be determined", n)
				}
			case len(n.Args) == 1: // ordersapi.Placed(like), new(ordersapi.Placed)
				made := n.Fun
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "new" {
					made = n.Args[0]
				}
				e, ok := r.event(s, made, 0)
				publish(e, ok, n)
			}
		case *ast.StructType:
			for _, f := range n.Fields.List {
				if e, ok := r.event(s, f.Type, 0); len(f.Names) == 0 && ok {
					unread("a struct that embeds "+e.Owner+"api."+e.Name+", and so is an event", f)
				}
			}
		case *ast.SelectorExpr:
			if s.isOn(n) && !ons[n] {
				subscribe(Use{}, false, n)
			}
			if isPublishTx(n) && !ons[n] {
				unread("PublishTx is not called directly", n)
			}
			if owner, name := selected(n, s.contracts); owner != "" && owner != r.module {
				r.named = append(r.named, Use{r.module, owner, name, At(n)})
			}
		case *ast.BasicLit:
			if of, route := pathOf(n); of != r.module {
				if _, known := r.offers[of]; known {
					u.Calls = append(u.Calls, Use{r.module, of, route, At(n)})
				}
			}
		}
		return true
	})
}

// isOn reports whether an expression is events.On or events.OnBatch.
func (s source) isOn(n ast.Expr) bool { return s.is(n, "On") || s.is(n, "OnBatch") }

// isPublishTx reports whether an expression is a method of that name, which only an outbox has.
func isPublishTx(n ast.Expr) bool {
	sel, ok := n.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "PublishTx"
}

// is reports whether an expression is that name of the package events.
func (s source) is(n ast.Expr, name string) bool {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name || !s.events {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "events"
}

// event resolves a type, a pointer to it or the package's own name for it to a contract's event.
func (r *reading) event(s source, of ast.Expr, depth int) (Use, bool) {
	switch x := of.(type) {
	case *ast.StarExpr:
		return r.event(s, x.X, depth)
	case *ast.ParenExpr:
		return r.event(s, x.X, depth)
	case *ast.Ident:
		if own, ok := r.types[x.Name]; ok && depth < 5 {
			return r.event(own.in, own.of, depth+1)
		}
	case *ast.SelectorExpr:
		if owner, name := selected(x, s.contracts); r.offers[owner].events[name] {
			return Use{Module: r.module, Owner: owner, Name: name}, true
		}
	}
	return Use{}, false
}

// handled resolves the argument of events.On to the event that it handles.
func (r *reading) handled(s source, handler ast.Expr, within ast.Decl, locals map[string][]ast.Expr) (Use, bool) {
	switch x := handler.(type) {
	case *ast.ParenExpr:
		return r.handled(s, x.X, within, locals)
	case *ast.FuncLit:
		return r.taken(s, x.Type)
	case *ast.CallExpr: // follow[paymentsapi.Captured](…), which returns a handler
		if made, ok := x.Fun.(*ast.IndexExpr); ok {
			return r.event(s, made.Index, 0)
		}
	case *ast.Ident: // a function of the package, or one in a local variable
		for _, value := range locals[x.Name] {
			if lit, ok := value.(*ast.FuncLit); ok {
				return r.taken(s, lit.Type)
			}
		}
		return r.method(x.Name, "")
	case *ast.SelectorExpr: // m.onOrderPlaced
		of := ""
		if me, ok := within.(*ast.FuncDecl); ok && me.Recv.NumFields() == 1 && len(me.Recv.List[0].Names) == 1 {
			if v, ok := x.X.(*ast.Ident); ok && v.Name == me.Recv.List[0].Names[0].Name {
				of = receiver(me)
			}
		}
		return r.method(x.Sel.Name, of)
	}
	return Use{}, false
}

// method resolves a function by its name and, if known, its receiver's type. Only one may fit.
func (r *reading) method(name, of string) (Use, bool) {
	another := func(f *ast.FuncDecl) bool { return of != "" && receiver(f) != of }
	found := slices.DeleteFunc(slices.Clone(r.methods[name]), another)
	if len(found) != 1 {
		return Use{}, false
	}
	return r.taken(r.homes[found[0]], found[0].Type)
}

// taken returns the event of a handler's last parameter, alone or in deliveries.
func (r *reading) taken(s source, f *ast.FuncType) (Use, bool) {
	if f.Params.NumFields() == 0 {
		return Use{}, false
	}
	last := element(f.Params.List[len(f.Params.List)-1].Type)
	if delivery, ok := last.(*ast.IndexExpr); ok && s.is(delivery.X, "Delivery") {
		last = delivery.Index
	}
	return r.event(s, last, 0)
}

// element returns the element type of a slice, an array or a map, or the type itself.
func element(of ast.Expr) ast.Expr {
	switch x := of.(type) {
	case *ast.ArrayType:
		return element(x.Elt)
	case *ast.MapType:
		return element(x.Value)
	}
	return of
}
