// Package architecture reads the repository as text, and asks its modules what they offer and use.
//
// Its tests check the boundaries. They find modules, commands and tables in the files: a new one
// must keep the rules, too.
package architecture

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Path is the module path of the root's go.mod, with which every import of our own begins.
const Path = "example.com/shop"

// Tree holds the text of each file by its path from the root, with slashes.
type Tree map[string]string

// Read reads the hand-written and generated files of the repository at root. It skips build output
// and names that begin with a dot, except .github, whose workflows are rules too.
func Read(root string) (Tree, error) {
	t := Tree{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		here, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && here != "." && entry.Name() != ".github"
		switch {
		case entry.IsDir() && (hidden || here == "bin" || entry.Name() == "vendor" || entry.Name() == "node_modules"):
			return filepath.SkipDir
		case entry.Type()&fs.ModeSymlink != 0 && (path.Ext(here) == ".go" || path.Ext(here) == ".sql"):
			return fmt.Errorf("%s is a symbolic link: Go compiles it, and no rule reads it; replace it by a file",
				filepath.ToSlash(here))
		case hidden || !entry.Type().IsRegular() || entry.Name() == "go.sum":
			return nil
		}
		text, err := os.ReadFile(name) //nolint:gosec // the repository's own files
		if err != nil {
			return err
		}
		t[filepath.ToSlash(here)] = string(text)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the repository: %w", err)
	}
	return t, nil
}

// With returns the tree with one file added or replaced.
func (t Tree) With(name, text string) Tree {
	with := maps.Clone(t)
	with[name] = text
	return with
}

// Without returns the tree without a file, or without a folder if the name ends with a slash.
func (t Tree) Without(name string) Tree {
	without := maps.Clone(t)
	maps.DeleteFunc(without, func(file, _ string) bool {
		return file == name || strings.HasSuffix(name, "/") && strings.HasPrefix(file, name)
	})
	return without
}

// Match returns the files that match the pattern of path.Match with their whole path, sorted.
func (t Tree) Match(pattern string) []string {
	var found []string
	fixed, _, _ := strings.Cut(pattern, "*")
	for name := range t {
		if !strings.HasPrefix(name, fixed) { // a cheap check, which excludes nearly all
			continue
		}
		if fits, err := path.Match(pattern, name); err == nil && fits {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Below returns the files at any depth of a folder that end with suffix, sorted.
func (t Tree) Below(folder, suffix string) []string {
	var found []string
	for name := range t {
		if strings.HasPrefix(name, folder+"/") && strings.HasSuffix(name, suffix) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Modules returns the bounded contexts: each folder of modules/ with a go.mod.
func (t Tree) Modules() []string {
	var found []string
	for _, mod := range t.Match("modules/*/go.mod") {
		found = append(found, path.Base(path.Dir(mod)))
	}
	return found
}

// Programs returns the folders with a package main, except those of architecture/.
func (t Tree) Programs() []string {
	var found []string
	for _, file := range t.GoFiles(false) {
		folder := path.Dir(file)
		if under(folder, "architecture") || slices.Contains(found, folder) {
			continue
		}
		if t.Go(file).Name.Name == "main" {
			found = append(found, folder)
		}
	}
	return found
}

// Commands returns the programs of cmd/, each by its folder's name.
func (t Tree) Commands() []string {
	var found []string
	for _, folder := range t.Programs() {
		if name, ok := strings.CutPrefix(folder, "cmd/"); ok {
			found = append(found, name)
		}
	}
	return found
}

func under(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// GoFiles returns all Go files, hand-written and generated, with or without tests.
func (t Tree) GoFiles(tests bool) []string {
	var found []string
	for name := range t {
		if strings.HasSuffix(name, ".go") && (tests || !isTest(name)) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Needs returns the go.mod files of ours that the code of a unit imports from, tests included,
// other than its own.
func (t Tree) Needs(unit string) []string {
	needed := map[string]bool{}
	for _, file := range t.GoFiles(true) {
		if t.unitOf(file) != unit {
			continue
		}
		for _, i := range t.Imports(file) {
			if folder, ours := Inside(i.Path); ours && t.unitOf(folder+"/") != unit {
				needed[t.unitOf(folder+"/")+"/go.mod"] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(needed))
}

// unitOf returns the folder of the go.mod that a file belongs to.
func (t Tree) unitOf(file string) string {
	folder := path.Dir(file)
	for folder != "." && t[folder+"/go.mod"] == "" {
		folder = path.Dir(folder)
	}
	return folder
}

// Import is one import of a file.
type Import struct {
	Path string
	Line int
}

// Imports returns the imports of a Go file.
func (t Tree) Imports(name string) []Import {
	var found []Import
	for _, spec := range t.Go(name).Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			found = append(found, Import{p, Line(spec)})
		}
	}
	return found
}

var (
	positions = token.NewFileSet()
	parsed    sync.Map // the text of a file → *ast.File: trees that differ in one file share all others
)

// Go parses a Go file as far as possible. Errors are left for the compiler to report.
func (t Tree) Go(name string) *ast.File {
	key := name + "\x00" + t[name]
	if file, ok := parsed.Load(key); ok {
		return file.(*ast.File)
	}
	file, err := parser.ParseFile(positions, name, t[name], parser.ParseComments|parser.SkipObjectResolution)
	if file == nil {
		panic(fmt.Sprintf("parse %s: %v", name, err)) // only if the source cannot be read, and it is a string
	}
	parsed.Store(key, file)
	return file
}

// Line returns the line on which a node of a parsed file begins.
func Line(node ast.Node) int { return positions.Position(node.Pos()).Line }

// At returns where a node of a parsed file begins, as file:line.
func At(node ast.Node) string {
	p := positions.Position(node.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// Inside returns the folder of an import path of our own; ok is false for others.
func Inside(importPath string) (folder string, ok bool) {
	return strings.CutPrefix(importPath, Path+"/")
}

// owner returns the module that a folder belongs to, and whether the folder is its contract.
func owner(folder string) (module string, contract bool) {
	parts := strings.Split(folder, "/")
	if len(parts) < 2 || parts[0] != "modules" && parts[0] != "migrations" {
		return "", false
	}
	return parts[1], parts[0] == "modules" && len(parts) > 2 && parts[2] == parts[1]+"api"
}

// simulated reports whether a folder is a module's simulated external systems, modules/<m>/<m>sim.
func simulated(folder string) bool {
	module, _ := owner(folder)
	return module != "" && under(folder, "modules/"+module+"/"+module+"sim")
}

// ownerOfFile is owner for a file.
func ownerOfFile(file string) (module string, contract bool) { return owner(path.Dir(file)) }
