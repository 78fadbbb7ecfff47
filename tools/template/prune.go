package template

import (
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// prune takes modules out of the Go files of a program: imports, elements of lists, settings, cases
// and statements that name one of them, and then what nothing uses any more.
func (f Files) prune(folder, modulePath string, gone []string) error {
	var files []string
	for _, name := range f.below(folder) {
		if strings.HasSuffix(name, ".go") {
			files = append(files, name)
		}
	}
	for _, name := range files {
		p := pruner{module: modulePath, gone: gone, dead: map[string]bool{}}
		text, err := p.file(f[name].Text)
		if err != nil {
			return fmt.Errorf("take %s out of %s: %w", strings.Join(gone, ", "), name, err)
		}
		f.set(name, text)
	}
	for f.pruneUnused(files) {
	}
	return nil
}

// cut is a part of a file to be removed.
type cut struct{ from, to int }

type pruner struct {
	module string
	gone   []string
	dead   map[string]bool // variables of the blocks around, whose declaration is gone

	text     string
	set      *token.FileSet
	packages map[string]bool // by which the file knows packages of the modules
	cuts     []cut
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
		if slices.ContainsFunc(n.List, func(e ast.Expr) bool { return p.names(e, true) }) {
			p.remove(n)
		} else {
			p.statements(n.Body)
		}
		return false
	}
	return true
}

func (p *pruner) statements(list []ast.Stmt) {
	around := p.dead
	p.dead = maps.Clone(around)
	defer func() { p.dead = around }()
	for _, s := range list {
		if !p.names(s, false) {
			ast.Inspect(s, p.visit)
			continue
		}
		p.remove(s)
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

// names reports whether a node names a module that is gone, or a variable that is: itself, or in any
// part of it if deep, and else outside of its blocks and lists.
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

// setting reports whether a field is a setting of a module: MODULE_URL of any program that calls it.
func (p *pruner) setting(field *ast.Field) bool {
	if field.Tag == nil {
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

// wholeLines widens a cut to a comma and a comment that follow, to the comment lines above if it
// begins a line, and to the whole lines if nothing else is on them.
func wholeLines(text string, from, to int) cut {
	for to < len(text) && (text[to] == ',' || text[to] == ' ' || text[to] == '\t') {
		to++
	}
	if rest := text[to:]; strings.HasPrefix(rest, "//") {
		to += strings.IndexByte(rest, '\n')
	}
	start := strings.LastIndexByte(text[:from], '\n') + 1
	if strings.TrimSpace(text[start:from]) != "" || to < len(text) && text[to] != '\n' {
		return cut{from, to}
	}
	for start > 0 {
		above := strings.LastIndexByte(text[:start-1], '\n') + 1
		if !strings.HasPrefix(strings.TrimSpace(text[above:start]), "//") {
			break
		}
		start = above
	}
	return cut{start, to + 1}
}

// cutOut removes the cuts, of which one may contain others, and formats the rest.
func cutOut(text string, cuts []cut) (string, error) {
	if len(cuts) == 0 {
		return text, nil
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.from - b.from })
	var left strings.Builder
	at := 0
	for _, c := range cuts {
		if c.from > at {
			left.WriteString(text[at:c.from])
		}
		at = max(at, c.to)
	}
	left.WriteString(text[at:])
	formatted, err := format.Source([]byte(left.String()))
	return string(formatted), err
}

// pruneUnused removes the imports that a file does not use, and the parts of config that no file of
// the program reads. It reports whether there were any.
func (f Files) pruneUnused(files []string) (changed bool) {
	read := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), "", f[name].Text, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				read[s.Sel.Name] = true
			}
			return true
		})
	}
	for _, name := range files {
		p := pruner{text: f[name].Text, set: token.NewFileSet()}
		file, err := parser.ParseFile(p.set, "", p.text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		used := map[string]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok {
					used[x.Name] = true
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok && n.Name.Name == "config" {
					for _, field := range s.Fields.List {
						if len(field.Names) == 1 && !read[field.Names[0].Name] {
							p.removeField(field)
						}
					}
				}
			}
			return true
		})
		for _, spec := range file.Imports {
			// A library's package may have another name than its path ends with.
			imported, _ := strconv.Unquote(spec.Path.Value)
			first, _, _ := strings.Cut(imported, "/")
			if !used[packageOf(spec)] && (!strings.Contains(first, ".") || strings.HasPrefix(imported, f.Path()+"/")) {
				p.remove(spec)
			}
		}
		if text, err := cutOut(p.text, p.cuts); err == nil && text != p.text {
			f.set(name, text)
			changed = true
		}
	}
	return changed
}
