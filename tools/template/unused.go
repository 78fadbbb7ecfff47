package template

import (
	"go/ast"
	"go/parser"
	"go/token"
)

// selected returns what any of the files selects, the x of any a.x, and from what, the a.
func (f Files) selected(files ...string) (what, from map[string]bool) {
	what, from = map[string]bool{}, map[string]bool{}
	for _, name := range files {
		f.selectors(name, func(s *ast.SelectorExpr) {
			what[s.Sel.Name] = true
			if x, ok := s.X.(*ast.Ident); ok {
				from[x.Name] = true
			}
		})
	}
	return what, from
}

func (f Files) selectors(name string, each func(*ast.SelectorExpr)) {
	if file, err := parser.ParseFile(token.NewFileSet(), "", f[name].Text, parser.SkipObjectResolution); err == nil {
		selectors(file, each)
	}
}

func selectors(file *ast.File, each func(*ast.SelectorExpr)) {
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			each(s)
		}
		return true
	})
}

// pruneUnused removes the fields of config and the imports that have lost their last use.
func (f Files) pruneUnused(name string, field func(name string) bool, imported func(pkg string) bool) error {
	p := pruner{text: f[name].Text, set: token.NewFileSet()}
	file, err := parser.ParseFile(p.set, "", p.text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && field != nil && spec.Name.Name == "config" {
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, member := range s.Fields.List {
					if len(member.Names) == 1 && field(member.Names[0].Name) {
						p.removeField(member)
					}
				}
			}
		}
		return true
	})
	for _, spec := range file.Imports {
		if imported != nil && imported(packageOf(spec)) {
			p.remove(spec)
		}
	}
	text, err := cutOut(p.text, p.cuts)
	if err == nil {
		f.set(name, text)
	}
	return err
}
