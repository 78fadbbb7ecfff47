package template

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

var moduleName = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// check refuses a name that no module can have, and one that files of others bear.
func (f Files) check(name string) error {
	switch {
	case !moduleName.MatchString(name):
		return fmt.Errorf("%q cannot be a module: take 2 to 31 small letters and digits, and a letter first", name)
	case slices.Contains(f.Modules(), name):
		return fmt.Errorf("there is a module %s already", name)
	case f.reserved(name):
		return fmt.Errorf("%q cannot be a module: files of the skeleton bear that name, or Go or PostgreSQL gives it a meaning", name)
	}
	return nil
}

// words that are packages, words of Go or of PostgreSQL, or schemas of its own.
var words = []string{
	"all", "analyse", "analyze", "break", "case", "chan", "columns", "const", "continue", "current", "default", "defer", "else", "for",
	"func", "go", "goto", "group", "if", "import", "int", "interface", "internal", "map", "order", "package", "postgres", "public", "range", "return",
	"select", "string", "struct", "switch", "table", "type", "user", "var", "vendor", "window",
}

// reserved reports whether a name means something else: in Go, in SQL, or as a part of a file's name
// or a package outside of the modules.
func (f Files) reserved(name string) bool {
	if slices.Contains(words, name) || strings.HasPrefix(name, "pg") {
		return true
	}
	modules := f.Modules()
	for file := range f {
		owned := slices.ContainsFunc(modules, func(m string) bool { return bears(file, m) })
		if !owned && !strings.HasPrefix(file, "lab/") && (bears(file, name) || packageNamed(file, name)) {
			return true
		}
	}
	return false
}

func packageNamed(file, name string) bool {
	return strings.HasPrefix(file, name+"/") || strings.HasSuffix(file, ".go") && path.Base(path.Dir(file)) == name
}
