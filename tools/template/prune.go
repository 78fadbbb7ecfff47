package template

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// prune takes modules out of the Go files of a program: imports, elements of lists, settings, cases
// and statements that name one of them, and then what nothing uses any more. held lists the uses
// that cannot go, because something that stays is made of them.
func (f Files) prune(folder string, out pruner) (held []string, err error) {
	var files []string
	for _, name := range f.below(folder) {
		if strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
	}
	was := maps.Clone(f)
	readBefore, _ := was.selected(files...)
	for _, name := range files {
		p := out
		text, err := p.file(f[name].Text)
		if err != nil {
			return nil, fmt.Errorf("take %s out of %s: %w", strings.Join(p.gone, ", "), name, err)
		}
		f.set(name, text)
		for _, s := range p.held {
			line := p.set.Position(s.Pos()).Line
			held = append(held, fmt.Sprintf("%s:%d: %s", name, line, strings.TrimSpace(strings.Split(p.text, "\n")[line-1])))
		}
		left, err := parser.ParseFile(p.set, "", text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		known := resolve(p.set, left)
		selectors(left, func(s *ast.SelectorExpr) {
			if x, ok := s.X.(*ast.Ident); ok && known[x] == nil && p.packages[x.Name] {
				held = append(held, fmt.Sprintf("%s uses %s.%s", name, x.Name, s.Sel.Name))
			}
		})
	}
	readAfter, _ := f.selected(files...)
	for _, name := range files {
		if err := f.pruneUnused(name, func(field string) bool { return readBefore[field] && !readAfter[field] }, nil); err != nil {
			return nil, err
		}
		_, usedBefore := was.selected(name)
		_, usedAfter := f.selected(name)
		if err := f.pruneUnused(name, nil, func(pkg string) bool { return usedBefore[pkg] && !usedAfter[pkg] }); err != nil {
			return nil, err
		}
	}
	return held, nil
}

type pruner struct {
	module string
	gone   []string
	apart  bool // they go on elsewhere: their contracts stay, and the calls of them

	text     string
	set      *token.FileSet
	means    map[*ast.Ident]types.Object
	packages map[string]bool       // by which the file knows packages of the modules
	dead     map[types.Object]bool // variables whose declaration is cut
	cuts     []cut
	held     []ast.Stmt // what is cut, and something that stays is made of it
}

// resolve returns what the names of a file mean, as far as the file alone says it.
func resolve(set *token.FileSet, file *ast.File) map[*ast.Ident]types.Object {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	alone := types.Config{Error: func(error) {}} // that it lacks other packages and files
	_, _ = alone.Check("", set, []*ast.File{file}, info)
	maps.Copy(info.Uses, info.Defs)
	return info.Uses
}

func (p *pruner) file(text string) (string, error) {
	p.text, p.set = text, token.NewFileSet()
	file, err := parser.ParseFile(p.set, "", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	p.means, p.packages, p.dead = resolve(p.set, file), map[string]bool{}, map[types.Object]bool{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		if name := packageOf(spec); p.imports(imported) {
			p.packages[name] = true
			p.remove(spec)
		}
	}
	for _, d := range file.Decls {
		ast.Inspect(d, p.visit)
	}
	return cutOut(text, p.cuts)
}

func packageOf(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	imported, _ := strconv.Unquote(spec.Path.Value)
	return imported[strings.LastIndex(imported, "/")+1:]
}

// imports reports whether an import path is a part of a module that is gone.
func (p *pruner) imports(imported string) bool {
	return slices.ContainsFunc(p.gone, func(m string) bool {
		for _, root := range []string{"/modules/", "/migrations/"} {
			if p.apart && strings.HasSuffix(imported, "/"+m+"/"+m+"api") {
				return false
			}
			if at := p.module + root + m; imported == at || strings.HasPrefix(imported, at+"/") {
				return true
			}
		}
		return false
	})
}

// visit removes the smallest whole part that names a module, and enters what names none.
func (p *pruner) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ValueSpec:
		if p.apart && n.Names[0].Name == "calls" {
			ast.Inspect(n, p.callsBy)
			return false
		}
	case *ast.CompositeLit:
		for _, element := range n.Elts {
			inner, isList := element.(*ast.CompositeLit)
			if p.names(element, isList && inner.Type == nil) || p.isName(element) {
				p.remove(element)
			}
		}
	case *ast.StructType:
		for _, field := range n.Fields.List {
			if p.names(field.Type, true) || p.setting(field) {
				p.removeField(field)
			}
		}
	case *ast.BlockStmt:
		p.statements(n.List)
		return false
	case *ast.CaseClause:
		p.caseOf(n)
		return false
	}
	return true
}

// callsBy removes the calls that a module makes from a list of pairs, and leaves those of it.
func (p *pruner) callsBy(n ast.Node) bool {
	if pair, ok := n.(*ast.CompositeLit); ok && pair.Type == nil && len(pair.Elts) > 0 && p.names(pair.Elts[0], true) {
		p.remove(pair)
	}
	return true
}

// caseOf removes a case whose conditions all name a module, or else those that do.
func (p *pruner) caseOf(n *ast.CaseClause) {
	of := func(e ast.Expr) bool { return p.names(e, true) }
	if len(n.List) > 0 && !slices.ContainsFunc(n.List, func(e ast.Expr) bool { return !of(e) }) {
		p.remove(n)
		return
	}
	for i, e := range n.List {
		if of(e) && i+1 < len(n.List) {
			p.cuts = append(p.cuts, cut{p.offset(e.Pos()), p.offset(n.List[i+1].Pos())})
		} else if of(e) {
			p.cuts = append(p.cuts, cut{p.offset(n.List[i-1].End()), p.offset(e.End())})
		}
	}
	p.statements(n.Body)
}

func (p *pruner) statements(list []ast.Stmt) {
	for _, s := range list {
		if _, isCase := s.(*ast.CaseClause); isCase || !p.names(s, false) {
			p.declareAnew(s)
			ast.Inspect(s, p.visit)
			continue
		}
		p.remove(s)
		if p.gives(s) {
			p.held = append(p.held, s)
		}
		ast.Inspect(s, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && p.means[name] != nil && p.means[name].Pos() == name.Pos() {
				p.dead[p.means[name]] = true // what it declares is gone, too
			}
			return true
		})
	}
}

// declareAnew notes that a statement declares what another one has, which is gone: a later a, err :=.
func (p *pruner) declareAnew(s ast.Stmt) {
	if assigned, ok := s.(*ast.AssignStmt); ok && assigned.Tok == token.DEFINE {
		for _, to := range assigned.Lhs {
			if name, ok := to.(*ast.Ident); ok {
				delete(p.dead, p.means[name])
			}
		}
	}
}

// gives reports whether what stays would miss a statement: it returns something, or calls something
// that is not of the modules, for a variable that is gone.
func (p *pruner) gives(s ast.Stmt) (gives bool) {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		return true
	case *ast.AssignStmt:
		for _, e := range s.Rhs {
			_, calls := e.(*ast.CallExpr)
			gives = gives || s.Tok != token.DEFINE && calls && !p.names(e, true)
		}
	}
	return gives
}

// names reports whether a node names a module that is gone, or a variable that is: itself, or in
// any part of it if deep, and else outside of its blocks and lists. A text names it where lists,
// cases and add(…) say which module they are about.
func (p *pruner) names(n ast.Node, deep bool) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BlockStmt:
			return deep
		case *ast.CompositeLit:
			if !deep && n.Type != nil {
				found = found || p.names(n.Type, true)
			}
			return deep
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE { // which may declare anew what is gone
				found = found || slices.ContainsFunc(n.Rhs, func(e ast.Expr) bool { return p.names(e, deep) })
				return false
			}
		case *ast.CallExpr:
			if add, ok := n.Fun.(*ast.Ident); ok && add.Name == "add" && len(n.Args) > 0 {
				found = found || p.isName(n.Args[0])
			}
		case *ast.BasicLit:
			found = found || deep && p.isName(n)
		case *ast.Ident:
			of, isPackage := p.means[n].(*types.PkgName)
			found = found || isPackage && p.imports(of.Imported().Path()) || p.dead[p.means[n]]
		}
		return !found
	})
	return found
}

// isName reports whether an expression, or the key of a list's element, is the name of a module that
// is gone, as a text.
func (p *pruner) isName(e ast.Expr) bool {
	if pair, ok := e.(*ast.KeyValueExpr); ok {
		e = pair.Key
	}
	return slices.Contains(p.gone, textOf(e))
}

// setting reports whether a field is a setting of a module: MODULE_URL of any program that calls
// it.
func (p *pruner) setting(field *ast.Field) bool {
	if field.Tag == nil || p.apart {
		return false
	}
	return slices.ContainsFunc(p.gone, func(m string) bool {
		return strings.Contains(field.Tag.Value, `env:"`+strings.ToUpper(m)+"_")
	})
}

func (p *pruner) removeField(field *ast.Field) {
	from := field.Pos()
	if field.Doc != nil {
		from = field.Doc.Pos()
	}
	p.cuts = append(p.cuts, wholeLines(p.text, p.offset(from), p.offset(field.End())))
}

func (p *pruner) remove(n ast.Node) {
	p.cuts = append(p.cuts, wholeLines(p.text, p.offset(n.Pos()), p.offset(n.End())))
}

func (p *pruner) offset(pos token.Pos) int { return p.set.Position(pos).Offset }
