package architecture

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// conduct keeps the code of modules to what their process gives them: its clock, its connections
// and no others, and no memory that another module could see.
var conduct = rule{
	name: "conduct",
	why: "what a module takes for itself no process can bound, no test can set, and no extraction can move; " +
		"see \"A distributed monolith\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		interfaces := map[string]map[string]bool{}
		for _, file := range t.GoFiles(false) {
			me, contract := ownerOfFile(file)
			if me == "" || contract || !under(file, "modules") || generated(t, file) || simulated(path.Dir(file)) {
				continue
			}
			f.subjects++
			if interfaces[me] == nil {
				interfaces[me] = t.interfacesOf(me)
			}
			f.conductOf(t, interfaces[me], file)
		}
		for _, file := range t.GoFiles(false) {
			if under(file, "platform") && !under(file, "platform/devkit") {
				f.sharedMemory(t, file)
			}
		}
		return f
	},
}

var (
	clocks   = regexp.MustCompile(`^time\.(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTimer|NewTicker)$`)
	callsOut = regexp.MustCompile(`^http\.(Get|Head|Post|PostForm|NewRequest|NewRequestWithContext|Client|DefaultClient|Transport|` +
		`DefaultTransport|ListenAndServe\w*|Serve\w*|Server)$`)
	osMay = []string{"os.ErrDeadlineExceeded", "os.ErrNotExist", "os.Hostname"}
	// networks are packages that call out, and hidden ones that a module has no use for.
	networks = []string{"net", "net/smtp", "net/rpc", "net/rpc/jsonrpc", "net/textproto", "net/http/httputil", "log/syslog", "crypto/tls", "github.com/wneessen/go-mail", "github.com/wneessen/go-mail/smtp"}
	hidden   = []string{"expvar", "os/exec", "os/signal", "syscall", "plugin", "database/sql", "runtime", "runtime/debug", "testing"}
	callsRow = regexp.MustCompile(`(?m)^\| \*\*Calls\*\* \|.*$`)
)

// conductOf checks one file of a module. A file that its canvas links in the row Calls, and that is
// no use case, may call out and keep the time-outs of that.
func (f *findings) conductOf(t Tree, interfaces map[string]bool, file string) {
	me, _ := ownerOfFile(file)
	outside := strings.Contains(callsRow.FindString(t["modules/"+me+"/README.md"]), "("+path.Base(file)+")") && !t.isUseCase(file)
	adapter := "call from the file that the row Calls of modules/" + me + "/README.md links, which has no method of Module"
	for _, i := range t.Imports(file) {
		at := file + ":" + strconv.Itoa(i.Line)
		if slices.Contains(hidden, i.Path) {
			f.add(at, "imports "+i.Path+", through which a module shares its process",
				"store what others need in the module's tables, and take what it needs as an argument of New")
		} else if slices.Contains(networks, i.Path) && !outside {
			f.add(at, "imports "+i.Path+", which calls out", adapter)
		}
	}
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			f.inTx(n.Type, n.Body, interfaces)
		case *ast.FuncLit:
			f.inTx(n.Type, n.Body, interfaces)
		}
		switch name := dotted(n); {
		case clocks.MatchString(name) && !outside:
			f.add(At(n), "reads the clock, by "+name, "take the time from now, which New is given: tests and replays set it")
		case callsOut.MatchString(name) && !outside:
			f.add(At(n), "calls out, by "+name, adapter)
		case strings.HasPrefix(name, "os.") && !slices.Contains(osMay, name) && !environment.MatchString(name):
			f.add(At(n), "uses "+name, "keep what outlives a request in the module's tables: another process has other files")
		}
		return true
	})
	for _, v := range t.variables(file) {
		if v.value == nil || t.assigned(path.Dir(file), v.name.Name) {
			f.add(At(v.name), "has the variable "+v.name.Name+", which is set while the process runs",
				"keep it in Module, which New makes: two modules of one process, or two tests, would share it")
		}
	}
}

// isUseCase reports whether a file has methods of its module's Module.
func (t Tree) isUseCase(file string) bool {
	return slices.ContainsFunc(t.Go(file).Decls, func(decl ast.Decl) bool {
		fun, ok := decl.(*ast.FuncDecl)
		return ok && fun.Recv.NumFields() == 1 && strings.TrimPrefix(typeName(fun.Recv.List[0].Type), "*") == "Module"
	})
}

// inTx refuses what a function that works in a transaction calls of the outside.
func (f *findings) inTx(of *ast.FuncType, body *ast.BlockStmt, interfaces map[string]bool) {
	if body == nil || !takesTx(of) {
		return
	}
	ast.Inspect(body, func(n ast.Node) bool {
		if inner, ok := n.(*ast.FuncLit); ok && takesTx(inner.Type) {
			return false // which is looked at by itself
		}
		if s, ok := n.(*ast.SelectorExpr); ok && interfaces[s.Sel.Name] {
			if _, direct := s.X.(*ast.Ident); direct {
				f.add(At(n), "uses the interface "+s.Sel.Name+" in a transaction",
					"enqueue a job, and call from there: a handler that calls out holds its locks while it waits")
			}
		}
		return true
	})
}

// variable is one that a file declares for its package.
type variable struct {
	name  *ast.Ident
	of    ast.Expr // nil if only the value has a type
	value ast.Expr // nil without one
}

func (t Tree) variables(file string) (found []variable) {
	for _, decl := range t.Go(file).Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				v := variable{name: name, of: spec.Type}
				if i < len(spec.Values) {
					v.value = spec.Values[i]
				} else if strings.Contains(t[file], "//go:embed ") { // whose value is a file
					v.value = spec.Type
				}
				if name.Name != "_" {
					found = append(found, v)
				}
			}
		}
	}
	return found
}

// assigned reports whether a function of a package sets a variable of it, or what is in it.
func (t Tree) assigned(folder, name string) (yes bool) {
	is := func(e ast.Expr) bool {
		if of, ok := e.(*ast.IndexExpr); ok {
			e = of.X
		}
		ident, ok := e.(*ast.Ident)
		return ok && ident.Name == name
	}
	for _, file := range t.sources(folder) {
		for _, decl := range t.Go(file).Decls {
			fun, ok := decl.(*ast.FuncDecl)
			if !ok || fun.Body == nil {
				continue
			}
			local := false
			ast.Inspect(fun, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.Field:
					local = local || slices.ContainsFunc(n.Names, func(i *ast.Ident) bool { return i.Name == name })
				case *ast.ValueSpec:
					local = local || slices.ContainsFunc(n.Names, func(i *ast.Ident) bool { return i.Name == name })
				case *ast.AssignStmt:
					set := slices.ContainsFunc(n.Lhs, is)
					local = local || set && n.Tok == token.DEFINE
					yes = yes || set && !local
				case *ast.IncDecStmt:
					yes = yes || is(n.X) && !local
				case *ast.CallExpr:
					if called, ok := n.Fun.(*ast.Ident); ok && (called.Name == "delete" || called.Name == "clear") {
						yes = yes || slices.ContainsFunc(n.Args, is) && !local
					}
				}
				return true
			})
		}
	}
	return yes
}

// interfacesOf returns the fields of a module's Module whose type is an interface of its package:
// what it calls.
func (t Tree) interfacesOf(module string) map[string]bool {
	kinds, fields := map[string]bool{}, map[string]string{}
	for _, file := range t.sources("modules/" + module) {
		for _, decl := range t.Go(file).Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				of, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				switch body := of.Type.(type) {
				case *ast.InterfaceType:
					kinds[of.Name.Name] = true
				case *ast.StructType:
					for _, field := range body.Fields.List {
						for _, name := range field.Names {
							if of.Name.Name == "Module" {
								fields[name.Name] = typeName(field.Type)
							}
						}
					}
				}
			}
		}
	}
	found := map[string]bool{}
	for name, of := range fields {
		found[name] = kinds[of]
	}
	return found
}

// takesTx reports whether a function works in a transaction that it is given.
func takesTx(of *ast.FuncType) bool {
	return slices.ContainsFunc(of.Params.List, func(p *ast.Field) bool {
		s, ok := p.Type.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "Tx"
	})
}

// sharedMemory refuses variables of platform that modules could share.
func (f *findings) sharedMemory(t Tree, file string) {
	const fix = "return it from a function, or pass it: what modules share in memory is lost when they are apart"
	for _, v := range t.variables(file) {
		sync, _ := v.of.(*ast.SelectorExpr)
		switch name := v.name.Name; {
		case v.name.IsExported() && !strings.HasPrefix(name, "Err") && !slices.Contains(constants, name):
			f.add(At(v.name), "exports the variable "+name, fix)
		case sync != nil && typeName(sync.X) == "sync" && sync.Sel.Name != "Once", t.assigned(path.Dir(file), name):
			f.add(At(v.name), "has the variable "+name+", which is set while the process runs", fix)
		}
	}
}

// constants are exported variables of types that have no constants.
var constants = []string{"Public", "Customer", "Staff", "Service"}
