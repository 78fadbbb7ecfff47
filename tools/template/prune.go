package template

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
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
		p.dead = map[string]bool{}
		text, err := p.file(f[name].Text)
		if err != nil {
			return nil, fmt.Errorf("take %s out of %s: %w", strings.Join(p.gone, ", "), name, err)
		}
		f.set(name, text)
		for _, s := range p.returns {
			line := p.set.Position(s.Pos()).Line
			held = append(held, fmt.Sprintf("%s:%d: %s", name, line, strings.TrimSpace(strings.Split(p.text, "\n")[line-1])))
		}
		f.selectors(name, func(s *ast.SelectorExpr) {
			if x, ok := s.X.(*ast.Ident); ok && p.packages[x.Name] {
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
	apart  bool            // they go on elsewhere: their contracts stay, and the calls of them
	dead   map[string]bool // variables of the blocks around, whose declaration is gone

	text     string
	set      *token.FileSet
	packages map[string]bool // by which the file knows packages of the modules
	cuts     []cut
	returns  []ast.Stmt // what is cut and gives something back
}

func (p *pruner) file(text string) (string, error) {
	p.text, p.set = text, token.NewFileSet()
	file, err := parser.ParseFile(p.set, "", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	p.packages = map[string]bool{}
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
			if p.names(element, isList && inner.Type == nil) {
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
	around := p.dead
	p.dead = maps.Clone(around)
	defer func() { p.dead = around }()
	for _, s := range list {
		if _, isCase := s.(*ast.CaseClause); isCase || !p.names(s, false) {
			ast.Inspect(s, p.visit)
			continue
		}
		p.remove(s)
		if _, ok := s.(*ast.ReturnStmt); ok {
			p.returns = append(p.returns, s)
		}
		ast.Inspect(s, func(n ast.Node) bool { // what it declares is gone, too
			switch n := n.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ValueSpec:
				for _, name := range n.Names {
					p.dead[name.Name] = true
				}
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if name, ok := to.(*ast.Ident); ok && n.Tok == token.DEFINE {
						p.dead[name.Name] = true
					}
				}
			}
			return true
		})
	}
}

// names reports whether a node names a module that is gone, or a variable that is: itself, or in
// any part of it if deep, and else outside of its blocks and lists.
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
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && p.packages[x.Name] {
				found = true
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			found = found || n.Kind == token.STRING && err == nil && slices.Contains(p.gone, text)
		case *ast.Ident:
			found = found || p.dead[n.Name]
		}
		return !found
	})
	return found
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
