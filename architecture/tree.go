// Package architecture reads the repository as text: which modules there are, what they promise each other and who uses it.
//
// Its tests are the boundaries. They look at the files themselves and never ask the go command, so nothing that was written a
// second ago is missed; and they find modules, commands and tables in the tree, so a new one is held to the rules unasked.
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

// Shop is the path of the root's go.mod; every import of our own begins with it.
const Shop = "example.com/shop"

// Tree is the repository as it stands on disk: the text of each file by its path from the root, with slashes.
type Tree map[string]string

// Read reads the repository at root: everything that somebody wrote, and nothing that was built or begins with a dot (but for the
// workflows, which are rules too).
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
			return fmt.Errorf("%s is a link to another file: Go compiles it, and no rule sees what is in it; write a file in its place", filepath.ToSlash(here))
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

// With returns the tree with one file more, or with another text in its place.
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

// Match returns the files whose whole path fits the pattern, in which * is any one name or a part of it, sorted.
func (t Tree) Match(pattern string) []string {
	var found []string
	fixed, _, _ := strings.Cut(pattern, "*")
	for name := range t {
		if !strings.HasPrefix(name, fixed) { // nearly all of them, and this is cheap
			continue
		}
		if fits, err := path.Match(pattern, name); err == nil && fits {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Below returns the files in a folder and deeper that end with suffix, sorted.
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

// Modules are the bounded contexts: each folder of modules/ with a go.mod.
func (t Tree) Modules() []string {
	var found []string
	for _, mod := range t.Match("modules/*/go.mod") {
		found = append(found, path.Base(path.Dir(mod)))
	}
	return found
}

// Programs are the folders with a package main, wherever they are; what the tests build is none.
func (t Tree) Programs() []string {
	var found []string
	for _, file := range t.GoFiles(false) {
		folder := path.Dir(file)
		if under(folder, "test") || under(folder, "architecture") || slices.Contains(found, folder) {
			continue
		}
		if t.Go(file).Name.Name == "main" {
			found = append(found, folder)
		}
	}
	return found
}

// Commands are the programs of cmd/, each as its folder there.
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

// GoFiles are all files of Go, hand-written and generated, with their tests or without.
func (t Tree) GoFiles(tests bool) []string {
	var found []string
	for name := range t {
		if strings.HasSuffix(name, ".go") && (tests || !strings.HasSuffix(name, "_test.go")) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// Import is one import of a file.
type Import struct {
	Path string
	Line int
}

// Imports are the imports of a Go file.
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

// Go returns a Go file parsed as far as it can be: what does not compile is the compiler's to refuse.
func (t Tree) Go(name string) *ast.File {
	key := name + "\x00" + t[name]
	if file, ok := parsed.Load(key); ok {
		return file.(*ast.File)
	}
	file, err := parser.ParseFile(positions, name, t[name], parser.ParseComments|parser.SkipObjectResolution)
	if file == nil {
		panic(fmt.Sprintf("parse %s: %v", name, err)) // only for a source that cannot be read, and this one is a string
	}
	parsed.Store(key, file)
	return file
}

// Line is where a node of a parsed file begins.
func Line(node ast.Node) int { return positions.Position(node.Pos()).Line }

// At is where a node of a parsed file begins, as file:line.
func At(node ast.Node) string {
	p := positions.Position(node.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// Inside returns the import path below the shop, as "modules/orders" for example.com/shop/modules/orders; ok is false for others'.
func Inside(importPath string) (folder string, ok bool) {
	return strings.CutPrefix(importPath, Shop+"/")
}
