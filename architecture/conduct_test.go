package architecture

import (
	"go/ast"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// conduct keeps the code of modules to what their process gives them: its clock, its connections and
// no others, and no memory that another module could see.
var conduct = rule{
	name: "conduct",
	why: "what a module takes for itself no process can bound, no test can set, and no extraction can move; " +
		"see \"A distributed monolith\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		interfaces := map[string]map[string]bool{}
		for _, file := range t.GoFiles(false) {
			me, contract := ownerOfFile(file)
			if me == "" || contract || !under(file, "modules") || generated(t, file) {
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
	osMay = []string{"ErrDeadlineExceeded", "ErrNotExist", "Hostname"}
	// networks are packages that call out, and hidden ones that a module has no use for.
	networks = []string{"net", "net/smtp", "net/rpc", "crypto/tls", "github.com/wneessen/go-mail", "github.com/wneessen/go-mail/smtp"}
	hidden   = []string{"expvar", "os/exec", "os/signal", "syscall", "plugin", "database/sql", "runtime", "runtime/debug", "testing"}
	callsRow = regexp.MustCompile(`(?m)^\| \*\*Calls\*\* \|.*$`)
)

// conductOf checks one file of a module. A file that its canvas links in the row Calls may call out.
func (f *findings) conductOf(t Tree, interfaces map[string]bool, file string) {
	me, _ := ownerOfFile(file)
	name := file[strings.LastIndex(file, "/")+1:]
	outside := strings.Contains(callsRow.FindString(t["modules/"+me+"/README.md"]), "("+name+")")
	adapter := "link the file in the row Calls of modules/" + me + "/README.md, if it is the one that knows the outside"
	for _, i := range t.Imports(file) {
		at := file + ":" + strconv.Itoa(i.Line)
		if slices.Contains(hidden, i.Path) {
			f.add(at, "imports "+i.Path+", through which a module shares its process",
				"store what others need in the module's tables, and take what it needs as an argument of New")
		} else if slices.Contains(networks, i.Path) && !outside {
			f.add(at, "imports "+i.Path+", which calls out", adapter)
		}
	}
	for _, decl := range t.Go(file).Decls {
		fun, _ := decl.(*ast.FuncDecl)
		inTx := fun != nil && takesTx(fun)
		ast.Inspect(decl, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, _ := s.X.(*ast.Ident)
			full := s.Sel.Name
			if x != nil {
				full = x.Name + "." + s.Sel.Name
			}
			switch {
			case clocks.MatchString(full) && !outside:
				f.add(At(n), "reads the clock, by "+full, "take the time from now, which New is given: tests and replays set it")
			case callsOut.MatchString(full) && !outside:
				f.add(At(n), "calls out, by "+full, adapter)
			case x != nil && x.Name == "os" && !slices.Contains(osMay, s.Sel.Name) && !environment[s.Sel.Name]:
				f.add(At(n), "uses "+full, "keep what outlives a request in the module's tables: another process has other files")
			case inTx && x != nil && interfaces[s.Sel.Name]:
				f.add(At(n), "uses the interface "+s.Sel.Name+" in a transaction",
					"enqueue a job, and call from there: a handler that calls out holds its locks while it waits")
			}
			return true
		})
	}
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
func takesTx(fun *ast.FuncDecl) bool {
	return slices.ContainsFunc(fun.Type.Params.List, func(p *ast.Field) bool {
		s, ok := p.Type.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "Tx"
	})
}

// sharedMemory refuses variables that every module could change.
func (f *findings) sharedMemory(t Tree, file string) {
	for _, decl := range t.Go(file).Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok.String() != "var" {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if name.IsExported() && !strings.HasPrefix(name.Name, "Err") && !slices.Contains(constants, name.Name) {
					f.add(At(name), "exports the variable "+name.Name,
						"return it from a function, or pass it: what modules share in memory is lost when they are apart")
				}
			}
		}
	}
}

// constants are exported variables of types that have no constants.
var constants = []string{"Public", "Customer", "Staff", "Service"}
