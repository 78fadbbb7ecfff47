package template

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
)

const root = "cmd/monolith/main.go"

// wire adds the module to the monolith: its imports, its schema, its settings, and itself. by lists
// what has no place to be written to.
func (f Files) wire(p page) (by []string) {
	in := inserter{text: f[root].Text, set: token.NewFileSet(), at: map[int]string{}}
	file, err := parser.ParseFile(in.set, "", in.text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return []string{fmt.Sprintf("%s cannot be read (%v): add %s to it", root, err, p.Name)}
	}
	say := func(ok bool, format string, args ...any) {
		if !ok {
			by = append(by, root+": add "+fmt.Sprintf(format, args...))
		}
	}
	imports := []string{fmt.Sprintf("%smigrations %q", p.Name, p.Path+"/migrations/"+p.Name), fmt.Sprintf("%q", p.Path+"/modules/"+p.Name)}
	for _, c := range p.Calls {
		if contract := fmt.Sprintf("%q", p.Path+"/modules/"+c.Module+"/"+c.Package); !isImported(file, contract) {
			imports = append(imports, contract)
		}
	}
	say(in.imports(file, p.Path, imports), "the imports %s", strings.Join(imports, ", "))
	if !isImported(file, `"time"`) && len(file.Imports) > 0 { // nothing has used it
		in.insert(file.Imports[0].Pos(), "\"time\"\n\t")
	}
	schema := fmt.Sprintf("%q: %smigrations.FS,", p.Name, p.Name)
	say(in.element(file, "schemas", schema), "%s to schemas", schema)
	fields := []string{fmt.Sprintf("%s %s.Config", camel(p.Name), p.Name)}
	for _, c := range p.Calls {
		if in.setting(file, strings.ToUpper(c.Module)+"_URL", "") == "" {
			fields = append(fields, fmt.Sprintf("// The façade's GATEWAY_INTERNAL_ADDR, to call %s when this process does not serve it.\n\t%sURL web.BaseURL `env:%q envDefault:\"http://127.0.0.1:8082\"`",
				c.Module, c.Type, strings.ToUpper(c.Module)+"_URL"))
		}
	}
	if selected, _ := f.selected(root); len(p.Calls) > 0 && !selected["ClientConfig"] {
		fields = append(fields, "Client web.ClientConfig")
		if platform := fmt.Sprintf("%q", p.Path+"/platform/web"); !isImported(file, platform) {
			say(in.imports(file, p.Path, []string{platform}), "the import platform/web")
		}
	}
	say(in.field(file, "config", fields), "%s to config", strings.Join(fields, "; "))
	into := function(file, "wire")
	arguments := ""
	for _, c := range p.Calls {
		name, field := p.Name+c.Type, in.setting(file, strings.ToUpper(c.Module)+"_URL", c.Type+"URL")
		arguments += ", " + name
		inside := in.serves(file, c.Module, name)
		say(inside, "%s = the module, where %s is made", name, c.Module)
		declared := fmt.Sprintf("\n\tvar %s %s.%s = %s.NewClient(string(cfg.%s), web.NewTransport(cfg.Client))", name, p.Name, c.Type, c.Package, field)
		if into != nil {
			in.insert(into.Body.Lbrace+1, declared)
		}
		say(into != nil, "%s", declared)
	}
	made := fmt.Sprintf("\tadd(%q, func(p *service.Parts) service.Module {\n\t\treturn %s.New(cfg.%s, p.DB, p.Outbox(), p.Log, time.Now%s)\n\t})\n",
		p.Name, p.Name, camel(p.Name), arguments)
	if takes(into, "cfg", "add") {
		in.insert(endOf(into), made)
	} else {
		say(false, "to wire: %s", made)
	}
	text, err := formatGo(in.done())
	if err != nil {
		return append(by, fmt.Sprintf("%s cannot be written (%v): add %s to it", root, err, p.Name))
	}
	f.set(root, text)
	for _, c := range p.Calls {
		by = append(by, f.addCall(p.Name, c.Module)...)
	}
	return by
}

// addCall adds a call to those for which the monolith asks for a token.
func (f Files) addCall(from, to string) (by []string) {
	const config = "cmd/monolith/config.go"
	element := fmt.Sprintf("{%q, %q},", from, to)
	in := inserter{text: f[config].Text, set: token.NewFileSet(), at: map[int]string{}}
	file, err := parser.ParseFile(in.set, "", in.text, parser.ParseComments|parser.SkipObjectResolution)
	if err == nil && in.element(file, "calls", element) {
		if text, err := formatGo(in.done()); err == nil {
			f.set(config, text)
			return nil
		}
	}
	return []string{config + ": add " + element + " to calls"}
}

// inserter inserts text into a Go file at the places of its syntax.
type inserter struct {
	text string
	set  *token.FileSet
	at   map[int]string
}

func (in *inserter) insert(pos token.Pos, text string) { in.at[in.set.Position(pos).Offset] += text }

func (in *inserter) done() string {
	text := in.text
	for _, offset := range slices.Backward(slices.Sorted(maps.Keys(in.at))) {
		text = text[:offset] + in.at[offset] + text[offset:]
	}
	return text
}

// imports inserts imports beside those of the product's own.
func (in *inserter) imports(file *ast.File, own string, imports []string) bool {
	for _, spec := range file.Imports {
		if strings.HasPrefix(spec.Path.Value, `"`+own+"/") {
			in.insert(spec.Pos(), strings.Join(imports, "\n\t")+"\n\t")
			return true
		}
	}
	return false
}

// element inserts an element at the end of a variable's list.
func (in *inserter) element(file *ast.File, variable, element string) (done bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != variable || len(spec.Values) != 1 {
			return true
		}
		if list, ok := spec.Values[0].(*ast.CompositeLit); ok && !done {
			begin := ""
			if in.set.Position(list.Lbrace).Line == in.set.Position(list.Rbrace).Line {
				if len(list.Elts) > 0 {
					begin = ","
				}
				begin += "\n"
			}
			in.insert(list.Rbrace, begin+"\t"+element+"\n")
			done = true
		}
		return false
	})
	return done
}

// field inserts fields at the end of a struct.
func (in *inserter) field(file *ast.File, name string, fields []string) (done bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == name {
			if s, ok := spec.Type.(*ast.StructType); ok {
				in.insert(s.Fields.Closing, "\t"+strings.Join(fields, "\n\t")+"\n")
				done = true
			}
		}
		return !done
	})
	return done
}

// setting returns the field of config that an environment variable sets, or else the given one.
func (in *inserter) setting(file *ast.File, variable, otherwise string) string {
	ast.Inspect(file, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && field.Tag != nil && len(field.Names) == 1 &&
			strings.Contains(field.Tag.Value, `env:"`+variable+`"`) {
			otherwise = field.Names[0].Name
		}
		return true
	})
	return otherwise
}

// function returns a function of a file, or nil.
func function(file *ast.File, name string) *ast.FuncDecl {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name && f.Recv == nil && f.Body != nil {
			return f
		}
	}
	return nil
}

// endOf returns where statements can be added to a function: at its end, or before its last return.
func endOf(f *ast.FuncDecl) token.Pos {
	if n := len(f.Body.List); n > 0 {
		if last, returns := f.Body.List[n-1].(*ast.ReturnStmt); returns {
			return last.Pos()
		}
	}
	return f.Body.Rbrace
}

// isImported reports whether a file imports a path, which is in quotes.
func isImported(file *ast.File, path string) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == path })
}

// takes reports whether a function, if there is one, has parameters of these names.
func takes(f *ast.FuncDecl, names ...string) bool {
	if f == nil {
		return false
	}
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			names = slices.DeleteFunc(names, func(n string) bool { return n == name.Name })
		}
	}
	return len(names) == 0
}

// serves has the function that makes a module in this process set a variable to it.
func (in *inserter) serves(file *ast.File, module, variable string) (done bool) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 || done {
			return !done
		}
		name, isName := call.Args[0].(*ast.BasicLit)
		made, isFunc := call.Args[1].(*ast.FuncLit)
		if !isName || !isFunc || name.Value != fmt.Sprintf("%q", module) || len(made.Body.List) == 0 {
			return true
		}
		result, returns := made.Body.List[len(made.Body.List)-1].(*ast.ReturnStmt)
		if !returns || len(result.Results) != 1 {
			return true
		}
		if id, ok := result.Results[0].(*ast.Ident); ok {
			in.insert(result.Pos(), variable+" = "+id.Name+"\n\t\t")
		} else {
			in.insert(result.Pos(), "made := ")
			from, to := in.set.Position(result.Pos()).Offset, in.set.Position(result.Results[0].Pos()).Offset
			in.text = in.text[:from] + strings.Repeat(" ", to-from) + in.text[to:]
			in.insert(result.End(), "\n\t\t"+variable+" = made\n\t\treturn made")
		}
		done = true
		return false
	})
	return done
}
