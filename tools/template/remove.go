package template

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Without returns the files without the modules: their folders, the settings and contracts that
// bear their names, and what the lists of modules say of them. byHand lists what else speaks of
// them.
func (f Files) Without(gone ...string) (left Files, byHand []string, err error) {
	left = Files{}
	for name, file := range f {
		if !slices.ContainsFunc(gone, func(m string) bool { return owned(name, m) }) {
			left[name] = file
		}
	}
	for _, folder := range wired {
		held, err := left.prune(folder, pruner{module: f.Path(), gone: gone})
		if err != nil {
			return nil, nil, err
		}
		if len(held) > 0 {
			return nil, nil, fmt.Errorf("%s cannot be removed, because something that stays is made of it:\n  %s\nchange these first",
				strings.Join(gone, ", "), strings.Join(held, "\n  "))
		}
	}
	if err := left.unlist(gone); err != nil {
		return nil, nil, err
	}
	for _, page := range left.sorted() {
		var paths [][]string
		switch {
		case page == contextMap:
			paths = [][]string{nil}
		case isRoutes(page):
			paths = [][]string{{"routes"}, {"upstreams"}}
		default:
			continue
		}
		text, err := withoutKeys(left[page].Text, paths, gone...)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", page, err)
		}
		left.set(page, text)
	}
	if err := left.publish(); err != nil {
		return nil, nil, err
	}
	left.stopTrying(gone)
	if sums, ok := left[sumsFile]; ok {
		var lines strings.Builder
		for line := range strings.Lines(sums.Text) {
			if _, file, _ := strings.Cut(strings.TrimSpace(line), "  "); left[file].Text != "" {
				lines.WriteString(line)
			}
		}
		left.set(sumsFile, lines.String())
	}
	return left, left.mentions(gone), nil
}

const (
	contextMap = "architecture/contextmap.yaml"
	tryFile    = "architecture/try.txt"
	contracts  = "architecture/contracts/"
	released   = contracts + "released/"
	sumsFile   = released + "migrations.sum"
)

// wired are the folders of the programs in which modules are wired.
var wired = []string{"cmd/monolith", "test/sandbox"}

func isRoutes(file string) bool {
	return file == "deploy/routes.yaml" || path.Dir(file) == "deploy/routes" && path.Ext(file) == ".yaml"
}

// owned reports whether a file is a module's: it is in one of its folders, or its settings,
// contract or acceptance test by its name.
func owned(file, module string) bool {
	dir, base := path.Split(file)
	if slices.ContainsFunc([]string{"modules/", "cmd/", "migrations/"}, func(root string) bool {
		return strings.HasPrefix(file, root+module+"/")
	}) {
		return true
	}
	switch {
	case dir == "deploy/env/", dir == "test/env/", strings.HasPrefix(dir, contracts):
		return strings.HasPrefix(base, module+".")
	case dir == "test/acceptance/":
		return strings.HasPrefix(base, module+"_") || base == module+".go"
	}
	return false
}

// unlist takes the units that are gone out of go.work and of every go.mod.
func (f Files) unlist(gone []string) error {
	of := func(unit string) bool {
		return slices.ContainsFunc(gone, func(m string) bool {
			return unit == "modules/"+m || strings.HasPrefix(unit, "modules/"+m+"/")
		})
	}
	if err := f.dropUses(of); err != nil {
		return err
	}
	own := f.Path() + "/"
	for name := range f {
		if path.Base(name) != "go.mod" {
			continue
		}
		mod, err := modfile.Parse(name, []byte(f[name].Text), nil)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		before := len(mod.Require) + len(mod.Replace)
		for _, r := range slices.Clone(mod.Require) {
			if of(strings.TrimPrefix(r.Mod.Path, own)) {
				err = mod.DropRequire(r.Mod.Path)
			}
		}
		for _, r := range slices.Clone(mod.Replace) {
			if err == nil && of(strings.TrimPrefix(r.Old.Path, own)) {
				err = mod.DropReplace(r.Old.Path, r.Old.Version)
			}
		}
		if err != nil {
			return fmt.Errorf("edit %s: %w", name, err)
		}
		if mod.Cleanup(); before == len(mod.Require)+len(mod.Replace) {
			continue
		}
		text, err := mod.Format()
		if err != nil {
			return err
		}
		f.set(name, string(text))
	}
	return nil
}

// dropUses takes units out of go.work.
func (f Files) dropUses(of func(unit string) bool) error {
	work, err := modfile.ParseWork("go.work", []byte(f["go.work"].Text), nil)
	if err != nil {
		return fmt.Errorf("read go.work: %w", err)
	}
	for _, use := range slices.Clone(work.Use) {
		if of(strings.TrimPrefix(use.Path, "./")) {
			if err := work.DropUse(use.Path); err != nil {
				return err
			}
		}
	}
	work.Cleanup()
	f.set("go.work", string(modfile.Format(work.Syntax)))
	return nil
}

// stopTrying takes the commands that call a module out of what seam up shows a person first.
func (f Files) stopTrying(gone []string) {
	var kept strings.Builder
	for line := range strings.Lines(f[tryFile].Text) {
		if !slices.ContainsFunc(gone, func(m string) bool { return regexp.MustCompile(`URL/v1/` + m + `\b`).MatchString(line) }) {
			kept.WriteString(line)
		}
	}
	if text := kept.String(); strings.Contains(text, "URL/v1/") {
		f.set(tryFile, text)
	} else if f[tryFile].Text != "" {
		f.set(tryFile, "")
	}
}

// passage matches the passages of a page that have a mark: the template's name, where they are only
// true of its own modules, or lab, where they need the lab.
func passage(mark string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)[ \t]*<!-- ` + mark + ` -->.*?<!-- /` + mark + ` -->\n?`)
}

// mentions returns the lines that still use a module's packages, topics or settings.
func (f Files) mentions(gone []string) (lines []string) {
	for _, m := range gone {
		anywhere := `\b` + regexp.QuoteMeta(f.Path()) + `/(modules|migrations)/` + m + `\b|\b` + m + topics
		inPrograms := anywhere + `|\b` + m + `(api|sim|migrations)?\.|\.` + camel(m) + `\b`
		for _, name := range f.sorted() {
			if slices.Contains([]string{"tools", "platform", "lab"}, strings.Split(name, "/")[0]) ||
				strings.HasPrefix(name, contracts) || path.Ext(name) == ".md" {
				continue
			}
			of := regexp.MustCompile(anywhere)
			if slices.ContainsFunc(wired, func(folder string) bool { return strings.HasPrefix(name, folder+"/") }) {
				of = regexp.MustCompile(inPrograms)
			}
			n := 0
			for line := range strings.Lines(f[name].Text) {
				if n++; of.MatchString(line) {
					lines = append(lines, fmt.Sprintf("%s:%d still uses %s: %s", name, n, m, strings.TrimSpace(line)))
				}
			}
		}
	}
	return lines
}
