package template

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Moved returns the files with a module under another name: its folders, package, schema, topics,
// routes and settings. Tables, other names in Go and prose outside of the module stay. A module
// with released contracts is refused, because others read its topics and routes by their names.
func (f Files) Moved(old, name string) (Files, error) {
	if !slices.Contains(f.Modules(), old) {
		return nil, fmt.Errorf("there is no module %s; there are %s", old, strings.Join(f.Modules(), ", "))
	}
	if err := f.check(name); err != nil {
		return nil, err
	}
	for file := range f {
		if strings.HasPrefix(file, released) && owned(file, old) {
			return nil, fmt.Errorf("%s is released: others know %s by its name; add a module %s beside it, and "+
				"remove %s once no module needs it", file, old, name, old)
		}
	}
	m := mover{path: f.Path(), old: old, new: name}
	moved := Files{}
	for file, content := range f {
		own, to := owned(file, old), file
		if own {
			to = m.inPath(file)
		}
		var err error
		switch {
		case path.Base(file) == "go.mod" || file == "go.work":
			content.Text = m.inUnits(content.Text)
		case slices.Contains([]string{"tools", "platform", "lab"}, strings.Split(file, "/")[0]):
		case path.Ext(file) == ".sql" || strings.Contains(file, "/internal/db/"):
		case path.Ext(file) == ".go":
			if content.Text, err = m.inGo(file, content.Text, own); err != nil {
				return nil, fmt.Errorf("rename in %s: %w", file, err)
			}
		case file == contextMap || isRoutes(file):
			if content.Text, err = m.inPage(content.Text); err != nil {
				return nil, fmt.Errorf("rename in %s: %w", file, err)
			}
		case own:
			content.Text = m.words(content.Text)
		case file == sumsFile:
			content.Text = strings.ReplaceAll(content.Text, "  migrations/"+old+"/", "  migrations/"+name+"/")
		case file == tryFile:
			content.Text = m.routes(content.Text)
		case strings.HasPrefix(file, "modules/"):
			content.Text = m.topics(content.Text)
		}
		if _, there := f[to]; there && to != file {
			return nil, fmt.Errorf("%s is there already, and %s would be called so: move it first", to, file)
		}
		moved[to] = content
	}
	return moved, nil
}

type mover struct{ path, old, new string }

// suffixes are what a module's packages end with after its name.
var suffixes = []string{"", "api", "sim", "migrations"}

// inPath renames the elements of a path that are the module's.
func (m mover) inPath(file string) string {
	of := regexp.MustCompile(`(^|[/._-])` + m.old + `(api|sim)?([/._-]|$)`)
	for of.MatchString(file) { // an end of one is the beginning of the next
		file = of.ReplaceAllString(file, "${1}"+m.new+"${2}${3}")
	}
	return file
}

// inUnits renames the module's folders where a go.mod or go.work names them: in paths of this
// repository's units, and in relative ones.
func (m mover) inUnits(text string) string {
	own := m.path + "/"
	of := regexp.MustCompile(`(^|/)` + m.old + `(api|sim)?(/|$)`)
	return regexp.MustCompile(`\S+`).ReplaceAllStringFunc(text, func(word string) string {
		unit, isUnit := strings.CutPrefix(word, own)
		if !isUnit && !strings.HasPrefix(word, ".") {
			return word
		}
		before := strings.TrimSuffix(word, unit)
		for of.MatchString(unit) { // an end of one is the beginning of the next
			unit = of.ReplaceAllString(unit, "${1}"+m.new+"${2}${3}")
		}
		return before + unit
	})
}

// inPage renames the module in the context map or a table of the façade: as a key, an upstream and
// one that is called, in topics, and in addresses.
func (m mover) inPage(page string) (string, error) {
	top, err := mapping(page, nil)
	if err != nil {
		return "", err
	}
	var found []*yaml.Node
	keys := func(of *yaml.Node) {
		for key := range pairs(of) {
			if key.Value == m.old {
				found = append(found, key)
			}
		}
	}
	upstream := func(of *yaml.Node) {
		if value := below(of, "upstream"); value != nil && value.Value == m.old {
			found = append(found, value)
		}
	}
	keys(top)
	keys(below(top, "upstreams"))
	keys(below(top, "routes"))
	for _, route := range pairs(below(top, "routes")) {
		upstream(below(route, "shadow"))
		if sides := below(route, "sides"); sides != nil {
			for _, side := range sides.Content {
				upstream(side)
			}
		}
	}
	for _, module := range pairs(top) {
		keys(below(module, "calls"))
	}
	if page, err = withScalars(page, found, m.new); err != nil {
		return "", err
	}
	page = regexp.MustCompile(`(//|\bbin/)`+m.old+`\b`).ReplaceAllString(page, "${1}"+m.new)
	return m.topics(m.routes(page)), nil
}

func (m mover) routes(text string) string {
	return regexp.MustCompile(`(/v1/)`+m.old+`\b`).ReplaceAllString(text, "${1}"+m.new)
}

// words renames whole words, also before api and the like, and settings.
func (m mover) words(text string) string {
	of := regexp.MustCompile(`\b` + m.old + `(api|sim|migrations|_rt|_migrate)?\b`)
	return m.settings(of.ReplaceAllString(text, m.new+"${1}"))
}

func (m mover) settings(text string) string {
	return regexp.MustCompile(`\b`+strings.ToUpper(m.old)+`_`).ReplaceAllString(text, strings.ToUpper(m.new)+"_")
}

// literal renames what is the module's in a Go literal: it alone, paths of its packages and routes,
// topics and settings.
func (m mover) literal(text string, own bool) string {
	if unquoted, err := strconv.Unquote(text); err == nil && unquoted == m.old && own {
		return strconv.Quote(m.new)
	}
	of := regexp.MustCompile(`(/(?:modules|migrations|v1)/)` + m.old + `\b`)
	text = of.ReplaceAllString(text, "${1}"+m.new)
	text = regexp.MustCompile(`/`+m.old+`(api|sim)\b`).ReplaceAllString(text, "/"+m.new+"${1}")
	return m.settings(m.topics(text))
}

func (m mover) topics(text string) string {
	of := regexp.MustCompile(`\b` + m.old + `(\.[a-z][a-z0-9_]*\.v[0-9]+)\b`)
	return of.ReplaceAllString(text, m.new+"${1}")
}

// inGo renames the module's packages where a file has or imports them, in the programs also its
// settings, and literals. In the module's own files it renames words of comments, too.
func (m mover) inGo(name, text string, own bool) (string, error) {
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
	program := slices.ContainsFunc(wired, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
	if program {
		names[camel(m.old)] = camel(m.new)
	}
	return rewrite(text, func(kind token.Token, literal string) string {
		switch n, known := names[literal]; {
		case kind == token.IDENT && known:
			return n
		case kind == token.STRING:
			return m.literal(literal, own || program)
		case kind == token.COMMENT && own:
			return m.words(literal)
		case kind == token.COMMENT:
			return m.topics(literal)
		}
		return literal
	})
}
