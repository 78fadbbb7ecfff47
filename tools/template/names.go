package template

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
)

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// check refuses a name that no module can have, and one that something else has.
func (f Files) check(name string) error {
	switch {
	case !moduleName.MatchString(name):
		return fmt.Errorf("%q cannot be a module: take 2 to 31 small letters and digits, and a letter first", name)
	case name == f.Name():
		return fmt.Errorf("%q is the name of the whole product: take another for a module of it", name)
	case slices.Contains(f.Modules(), name):
		return fmt.Errorf("there is a module %s already: take another name", name)
	case f.reserved(name):
		return fmt.Errorf("%q cannot be a module: Go, PostgreSQL or the skeleton gives that name a meaning; take another", name)
	}
	return nil
}

// sqlWords are words that PostgreSQL does not take as a name, or that are schemas of its own.
var sqlWords = []string{
	"all", "analyse", "analyze", "and", "any", "array", "as", "asc", "both", "case", "cast", "check", "collate", "column", "constraint",
	"create", "default", "desc", "distinct", "do", "else", "end", "except", "false", "fetch", "for", "foreign", "from", "grant", "group",
	"having", "in", "initially", "intersect", "into", "lateral", "leading", "limit", "localtime", "not", "null", "offset", "on", "only", "or",
	"order", "placing", "primary", "public", "references", "returning", "select", "some", "symmetric", "table", "then", "to", "trailing",
	"true", "union", "unique", "user", "using", "variadic", "when", "where", "window", "with",
}

// goWords are names that the go command does not build as those of other packages or folders.
var goWords = []string{"init", "main", "vendor", "internal", "testdata", "documentation"}

// isWord reports whether a name means something in Go or in SQL.
func isWord(name string) bool {
	return token.IsKeyword(name) || types.Universe.Lookup(name) != nil || slices.Contains(goWords, name) || slices.Contains(sqlWords, name)
}

// reserved reports whether a name means something else: in Go, in SQL, as a package of another, as
// a folder, or as a name in the programs that a module is wired into.
func (f Files) reserved(name string) bool {
	if isWord(name) || strings.HasPrefix(name, "pg") {
		return true
	}
	for _, suffix := range suffixes[1:] {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	for file := range f {
		if strings.HasPrefix(file, name+"/") || path.Ext(file) == ".go" && path.Base(path.Dir(file)) == name && !strings.HasPrefix(file, "lab/") {
			return true
		}
	}
	for _, folder := range wired {
		for _, file := range f.below(folder) {
			if path.Ext(file) == ".go" && (f.says(file, name) || f.says(file, camel(name))) {
				return true
			}
		}
	}
	return false
}

// says reports whether a Go file has an identifier of this name.
func (f Files) says(file, name string) (found bool) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", f[file].Text, parser.SkipObjectResolution)
	if err != nil {
		return false
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == name {
			found = true
		}
		return !found
	})
	for _, spec := range parsed.Imports {
		found = found || packageOf(spec) == name
	}
	return found
}
