package architecture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"example.com/shop/platform/service"
)

// Described is where a Tree has what the modules say of themselves: the answer to the verb
// describe. It is no file.
const Described = "describe.json"

// Ask returns the tree with what the modules say of themselves: the monolith is asked for those
// that it links, and its own program for each other one. After an error the tree is without it.
func (t Tree) Ask(ctx context.Context, root string) (Tree, error) {
	all, err := ask(ctx, root, "monolith")
	for _, m := range t.Modules() {
		linked := slices.ContainsFunc(all, func(d service.Description) bool { return d.Module == m })
		if _, ok := t["cmd/"+m+"/main.go"]; err == nil && !linked && ok {
			var alone []service.Description
			alone, err = ask(ctx, root, m)
			all = append(all, alone...)
		}
	}
	if err != nil {
		return t, err
	}
	slices.SortFunc(all, func(a, b service.Description) int { return strings.Compare(a.Module, b.Module) })
	text, err := json.MarshalIndent(all, "", "  ")
	return t.With(Described, string(text)), err
}

// GoEnvironment returns the environment of the go commands that seam calls, which read this
// repository's workspace, and take no flags of a person's, from the shell or from go env -w.
func GoEnvironment() []string { return append(os.Environ(), "GOWORK=auto", "GOFLAGS=-mod=readonly") }

func ask(ctx context.Context, root, program string) (found []service.Description, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // for a build from nothing
	defer cancel()
	var complaint strings.Builder
	command := exec.CommandContext(ctx, "go", "run", "./cmd/"+program, "describe") //nolint:gosec // our own programs
	command.Dir, command.Stderr, command.WaitDelay = root, &complaint, time.Second
	command.Env = GoEnvironment()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run does not end what it runs
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	out, err := command.Output()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		return nil, fmt.Errorf("ask cmd/%s to describe its modules: %w\n%s", program, errors.Join(err, ctx.Err()), complaint.String())
	}
	return found, nil
}

var descriptions sync.Map // text → []service.Description

// Descriptions returns what the modules say of themselves, by name.
func (t Tree) Descriptions() []service.Description {
	read, _ := descriptions.LoadOrStore(t[Described], sync.OnceValue(func() (found []service.Description) {
		_ = json.Unmarshal([]byte(t[Described]), &found) // Ask has written it; a plant is as readable
		return found
	}))
	return read.(func() []service.Description)()
}

// Description returns what a module says of itself.
func (t Tree) Description(module string) (d service.Description) {
	for _, d = range t.Descriptions() {
		if d.Module == module {
			return d
		}
	}
	return service.Description{}
}

// Event is a type of a contract that its module publishes.
type Event struct {
	Module string // the module whose contract it is in
	service.Event
	Doc  string // the comment over the type, in one line: when the fact is true
	File string // where the type is declared
	Line int

	types map[string]declared // of its contract
}

// Events returns the events of all modules, in the order in which contracts declare them.
func (t Tree) Events() (found []Event) {
	for _, d := range t.Descriptions() {
		types := t.contract(d.Module)
		var own []Event
		for _, e := range d.Publishes {
			of := types[e.Type]
			own = append(own, Event{d.Module, e, of.doc, of.file, of.line, types})
		}
		slices.SortFunc(own, func(a, b Event) int { return a.Line - b.Line })
		found = append(found, own...)
	}
	return found
}

// Contract returns the folder of a module's contract, whether it exists or not.
func Contract(module string) string { return "modules/" + module + "/" + module + "api" }

// Go returns the event as a subscriber writes it: parcelsapi.Sent.
func (e Event) Go() string { return e.Module + "api." + e.Type }

// At returns where the event is declared, as file:line.
func (e Event) At() string { return e.File + ":" + strconv.Itoa(e.Line) }

// declared is what a contract declares under a name.
type declared struct {
	doc    string // in one line
	file   string
	line   int
	event  bool              // a type with a method Topic
	value  bool              // a constant
	fields map[string]string // of a struct, with their comments
}

// contract returns what a module's contract declares, by name. Only the source has the comments.
func (t Tree) contract(module string) map[string]declared {
	found, topics := map[string]declared{}, map[string]bool{}
	for _, file := range t.sources(Contract(module)) {
		for _, decl := range t.Go(file).Decls {
			if method, ok := decl.(*ast.FuncDecl); ok && method.Recv.NumFields() == 1 && method.Name.Name == "Topic" {
				topics[strings.TrimPrefix(typeName(method.Recv.List[0].Type), "*")] = true
			}
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						found[name.Name] = declared{value: gen.Tok == token.CONST}
					}
				case *ast.TypeSpec:
					d := declared{doc: oneLine(spec.Doc, gen.Doc), file: file, line: Line(spec), fields: map[string]string{}}
					if s, ok := spec.Type.(*ast.StructType); ok {
						for _, f := range s.Fields.List {
							for _, name := range f.Names {
								d.fields[name.Name] = oneLine(f.Doc, f.Comment)
							}
						}
					}
					found[spec.Name.Name] = d
				}
			}
		}
	}
	for name := range topics {
		d := found[name]
		d.event = true
		found[name] = d
	}
	return found
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// oneLine returns the first of the comments that says something, in one line.
func oneLine(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if c != nil && c.Text() != "" {
			return strings.Join(strings.Fields(c.Text()), " ")
		}
	}
	return ""
}

// contractOf returns the module whose contract the import path is, or "".
func contractOf(importPath string) string {
	folder, ours := Inside(importPath)
	module := path.Base(path.Dir(folder))
	if ours && folder == Contract(module) {
		return module
	}
	return ""
}

// partsOf returns the types of the contract that a payload consists of, without its own.
func partsOf(f service.Field) map[string]bool {
	types := map[string]bool{}
	parts := f.Fields
	if f.Elements != nil {
		parts = append(slices.Clone(parts), *f.Elements)
	}
	for _, part := range parts {
		if part.GoType != "" {
			types[part.GoType] = true
		}
		maps.Copy(types, partsOf(part))
	}
	return types
}
