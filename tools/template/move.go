package template

import (
	"fmt"
	"go/format"
	"go/parser"
	"go/scanner"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Moved returns the files with a module under another name: its folders, package, schema, topics,
// routes and settings. It changes no SQL, whose names are the tables'. A module with released
// contracts is refused, because others read its topics and routes by their names.
func (f Files) Moved(old, name string) (Files, error) {
	if !slices.Contains(f.Modules(), old) {
		return nil, fmt.Errorf("there is no module %s; there are %s", old, strings.Join(f.Modules(), ", "))
	}
	if err := f.check(name); err != nil {
		return nil, err
	}
	for file := range f {
		if strings.HasPrefix(file, released) && bears(file, old) {
			return nil, fmt.Errorf("%s is released: others know %s by its name; add a module %s beside it, and "+
				"remove %s once nobody needs it", file, old, name, old)
		}
	}
	m := mover{path: f.Path(), old: old, new: name}
	moved := Files{}
	for file, content := range f {
		to := file
		if bears(file, old) || m.inside(file) {
			to = m.inPath(file)
		}
		var err error
		switch {
		case strings.HasPrefix(file, "tools/") || strings.HasPrefix(file, "platform/") || strings.HasSuffix(file, ".sql"):
		case strings.HasSuffix(file, ".go"):
			if content.Text, err = m.inGo(file, content.Text); err != nil {
				return nil, fmt.Errorf("rename in %s: %w", file, err)
			}
		default:
			content.Text = m.inText(content.Text)
		}
		moved[to] = content
	}
	return moved, nil
}

const released = "architecture/contracts/released/"

type mover struct{ path, old, new string }

// suffixes are what a module's other packages end with.
var suffixes = []string{"", "api", "sim", "migrations"}

// inside reports whether a file is in one of the module's folders.
func (m mover) inside(file string) bool {
	return strings.HasPrefix(file, "modules/"+m.old+"/") || strings.HasPrefix(file, "migrations/"+m.old+"/")
}

// inPath renames the elements of a path that are the module's.
func (m mover) inPath(file string) string {
	of := regexp.MustCompile(`(^|[/._-])` + m.old + `(api|sim)?([/._-]|$)`)
	for of.MatchString(file) { // an end of one is the beginning of the next
		file = of.ReplaceAllString(file, "${1}"+m.new+"${2}${3}")
	}
	return file
}

// inText renames whole words, also before api and the like, and settings.
func (m mover) inText(text string) string {
	words := regexp.MustCompile(`\b` + m.old + `(api|sim|migrations|_rt|_migrate|_owner)?\b`)
	settings := regexp.MustCompile(`\b` + strings.ToUpper(m.old) + `_`)
	return settings.ReplaceAllString(words.ReplaceAllString(text, m.new+"${1}"), strings.ToUpper(m.new)+"_")
}

// inGo renames the packages of the module where a file has or imports them, the monolith's settings
// of it, and words in literals and comments.
func (m mover) inGo(name, text string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	names := map[string]string{}
	know := func(pkg string) {
		for _, suffix := range suffixes {
			if pkg == m.old+suffix {
				names[pkg] = m.new + suffix
			}
		}
	}
	know(file.Name.Name)
	for _, spec := range file.Imports {
		if imported, _ := strconv.Unquote(spec.Path.Value); strings.HasPrefix(imported, m.path+"/") {
			know(packageOf(spec))
		}
	}
	if slices.ContainsFunc(wired, func(folder string) bool { return strings.HasPrefix(name, folder+"/") }) {
		names[camel(m.old)] = camel(m.new)
	}
	var renamed strings.Builder
	var s scanner.Scanner
	set := token.NewFileSet()
	whole := set.AddFile("", set.Base(), len(text))
	s.Init(whole, []byte(text), nil, scanner.ScanComments)
	copied := 0
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			break
		}
		to := literal
		switch kind {
		case token.IDENT:
			if n, ok := names[literal]; ok {
				to = n
			}
		case token.STRING, token.COMMENT:
			to = m.inText(literal)
		}
		if to != literal {
			at := whole.Offset(pos)
			renamed.WriteString(text[copied:at] + to)
			copied = at + len(literal)
		}
	}
	renamed.WriteString(text[copied:])
	formatted, err := format.Source([]byte(renamed.String()))
	return string(formatted), err
}

// Statements are what an admin runs in each database that has the module under its old name.
func Statements(old, name string) (lines []string) {
	lines = []string{fmt.Sprintf("ALTER SCHEMA %s RENAME TO %s;", old, name)}
	for _, role := range []string{"owner", "migrate", "rt"} {
		lines = append(lines, fmt.Sprintf("ALTER ROLE %[1]s_%[3]s RENAME TO %[2]s_%[3]s;", old, name, role))
	}
	lines = append(lines, fmt.Sprintf("ALTER ROLE %[1]s_rt SET search_path = %[1]s;", name),
		fmt.Sprintf("UPDATE %[2]s.outbox SET topic = '%[2]s' || substr(topic, %[3]d) WHERE topic LIKE '%[1]s.%%';", old, name, len(old)+1))
	return lines
}
