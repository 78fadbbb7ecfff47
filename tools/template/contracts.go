package template

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// events returns the events of all contracts: the types that have a topic.
func (f Files) events() (found []event) {
	for _, m := range f.Modules() {
		contract, constants := m+"api", map[string]string{}
		for _, file := range f.contract(m) {
			maps.Copy(constants, texts(file))
		}
		for _, file := range f.contract(m) {
			for _, d := range file.Decls {
				method, ok := d.(*ast.FuncDecl)
				if !ok || method.Recv == nil || method.Name.Name != "Topic" || method.Body == nil || len(method.Body.List) != 1 {
					continue
				}
				kind, isValue := method.Recv.List[0].Type.(*ast.Ident)
				result, returns := method.Body.List[0].(*ast.ReturnStmt)
				if !isValue || !returns || len(result.Results) != 1 {
					continue
				}
				topic := textOf(result.Results[0])
				if name, ok := result.Results[0].(*ast.Ident); ok {
					topic = constants[name.Name]
				}
				if topic != "" {
					found = append(found, event{Topic: topic, Module: m, Package: contract, Type: kind.Name})
				}
			}
		}
	}
	return found
}

// texts returns the texts that a file declares as constants, by name.
func texts(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, d := range file.Decls {
		if constants, ok := d.(*ast.GenDecl); ok && constants.Tok == token.CONST {
			for _, spec := range constants.Specs {
				for i, value := range spec.(*ast.ValueSpec).Values {
					found[spec.(*ast.ValueSpec).Names[i].Name] = textOf(value)
				}
			}
		}
	}
	return found
}

// textOf returns the text of a literal, or nothing.
func textOf(e ast.Expr) (text string) {
	if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
		text, _ = strconv.Unquote(literal.Value)
	}
	return text
}

// contract parses the files of a module's contract.
func (f Files) contract(m string) (files []*ast.File) {
	for _, name := range f.below("modules/" + m + "/" + m + "api") {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if file, err := parser.ParseFile(token.NewFileSet(), name, f[name].Text, parser.SkipObjectResolution); err == nil {
			files = append(files, file)
		}
	}
	return files
}

// client returns what the Client of a module's contract offers.
func (f Files) client(m string) (call, error) {
	if !slices.Contains(f.Modules(), m) {
		return call{}, fmt.Errorf("there is no module %s to call; there are %s", m, strings.Join(f.Modules(), ", "))
	}
	c, foreign := call{Module: m, Package: m + "api", Type: camel(m)}, false
	for _, file := range f.contract(m) {
		for _, d := range file.Decls {
			method, ok := d.(*ast.FuncDecl)
			if !ok || method.Recv == nil || !method.Name.IsExported() {
				continue
			}
			pointer, ok := method.Recv.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			if kind, ok := pointer.X.(*ast.Ident); !ok || kind.Name != "Client" {
				continue
			}
			ast.Inspect(method.Type, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Field:
					foreign = foreign || uses(n.Type)
					ast.Inspect(n.Type, qualify(c.Package))
					return false
				}
				return true
			})
			var text bytes.Buffer
			if err := printer.Fprint(&text, token.NewFileSet(), method.Type); err != nil {
				return c, err
			}
			c.Methods = append(c.Methods, method.Name.Name+strings.TrimPrefix(text.String(), "func"))
		}
	}
	if len(c.Methods) == 0 {
		return c, fmt.Errorf("%s offers nothing to call: its contract has no Client; listen to its events, "+
			"or write modules/%s/%sapi/client.go first", m, m, m)
	}
	if foreign {
		return c, fmt.Errorf("the Client of %sapi takes types of other packages, so the call cannot be written: "+
			"add the module without --calls, and declare the interface in it", m)
	}
	return c, nil
}

// uses reports whether a type is of another package than the contract, or context.
func uses(n ast.Expr) (foreign bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			x, ok := s.X.(*ast.Ident)
			foreign = foreign || !ok || x.Name != "context"
		}
		return true
	})
	return foreign
}

// qualify names the exported types of a contract as another package does.
func qualify(contract string) func(ast.Node) bool {
	return func(n ast.Node) bool {
		if _, other := n.(*ast.SelectorExpr); other {
			return false
		}
		if name, ok := n.(*ast.Ident); ok && name.IsExported() {
			name.Name = contract + "." + name.Name
		}
		return true
	}
}

// UsersOf returns the lines of other modules that use a module's contract: its events, and its
// client. Lines of tests are only listed if there are no others.
func (f Files) UsersOf(m string) (users []string) {
	var tests []string
	contract := fmt.Sprintf("%q", f.Path()+"/modules/"+m+"/"+m+"api")
	for _, name := range f.below("modules") {
		if strings.HasPrefix(name, "modules/"+m+"/") || !strings.HasSuffix(name, ".go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, "", f[name].Text, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		imported := "" // by which name
		for _, spec := range file.Imports {
			if spec.Path.Value == contract {
				imported = packageOf(spec)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && imported != "" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == imported {
					line := fmt.Sprintf("%s:%d uses %sapi.%s", name, set.Position(s.Pos()).Line, m, s.Sel.Name)
					if strings.HasSuffix(name, "_test.go") {
						tests = append(tests, line)
					} else {
						users = append(users, line)
					}
				}
			}
			return true
		})
	}
	if len(users) == 0 {
		return tests
	}
	return users
}

// AgreedWith returns the lines of the context map that have other modules listen to a module or call
// it, and those of their READMEs with its topics, whether or not their code still uses them.
func (f Files) AgreedWith(m string) (lines []string) {
	agreed := func(name string, line int, what string) {
		lines = append(lines, fmt.Sprintf("%s:%d says %s", name, line, what))
	}
	page, _ := mapping(f[contextMap].Text, nil) // what is no map is refused by Without
	for key, value := range pairs(page) {
		if key.Value == m {
			continue
		}
		if listens := below(value, "listens_to"); listens != nil {
			for _, topic := range listens.Content {
				if strings.HasPrefix(topic.Value, m+".") {
					agreed(contextMap, topic.Line, key.Value+" listens to "+topic.Value)
				}
			}
		}
		for called := range pairs(below(value, "calls")) {
			if called.Value == m {
				agreed(contextMap, called.Line, key.Value+" calls "+m)
			}
		}
	}
	topic := regexp.MustCompile(`\b` + m + topics)
	for _, name := range f.sorted() {
		if readme, _ := path.Match("modules/*/README.md", name); !readme || owned(name, m) {
			continue
		}
		n := 0
		for line := range strings.Lines(f[name].Text) {
			if n++; topic.MatchString(line) {
				agreed(name, n, strings.TrimSpace(line))
			}
		}
	}
	return lines
}

// topics matches what a topic has after its module.
const topics = `\.[a-z][a-z0-9_]*\.v[0-9]+\b`

// InLab returns a file of the lab that imports a module, or its schema, if there is one.
func (f Files) InLab(m string) string {
	for _, name := range f.below("lab") {
		if strings.HasSuffix(name, ".go") && (strings.Contains(f[name].Text, `"`+f.Path()+"/modules/"+m+`"`) ||
			strings.Contains(f[name].Text, `"`+f.Path()+"/migrations/"+m+`"`)) {
			return name
		}
	}
	return ""
}
