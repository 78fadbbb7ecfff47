package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// Without returns the files without the modules: their folders, what bears their names elsewhere,
// and what others say of them. by lists what a person has to do.
func (f Files) Without(gone ...string) (left Files, by []string, err error) {
	left = Files{}
	for name, file := range f {
		if !slices.ContainsFunc(gone, func(m string) bool { return bears(name, m) }) {
			left[name] = file
		}
	}
	for _, folder := range wired {
		if err := left.prune(folder, f.Path(), gone); err != nil {
			return nil, nil, err
		}
	}
	if err := left.unlist(gone); err != nil {
		return nil, nil, err
	}
	for _, m := range gone {
		left.set(contextMap, withoutKey(left[contextMap].Text, 0, m))
		for _, table := range left.below("deploy") {
			if strings.HasSuffix(table, "routes.yaml") || strings.HasPrefix(table, "deploy/routes/") {
				left.set(table, withoutKey(left[table].Text, 2, m))
			}
		}
	}
	if sums, ok := left[sumsFile]; ok {
		var lines strings.Builder
		for line := range strings.Lines(sums.Text) {
			if _, there := left[strings.TrimSpace(line[strings.Index(line, "  ")+2:])]; there {
				lines.WriteString(line)
			}
		}
		left.set(sumsFile, lines.String())
	}
	return left, left.mentions(gone), nil
}

const (
	contextMap = "architecture/contextmap.yaml"
	sumsFile   = "architecture/contracts/released/migrations.sum"
)

// wired are the folders of the programs in which modules are wired.
var wired = []string{"cmd/monolith", "test/sandbox"}

// bears reports whether a file is a module's by its name: an element of its path is the module's
// name, alone or before or after a dot, a hyphen or an underscore.
func bears(file, module string) bool {
	if strings.HasPrefix(file, "platform/") || strings.HasPrefix(file, "tools/") {
		return false
	}
	for element := range strings.SplitSeq(file, "/") {
		if slices.Contains(strings.FieldsFunc(element, func(r rune) bool { return strings.ContainsRune("._-", r) }), module) {
			return true
		}
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
	own := f.Path() + "/"
	for name := range f {
		if name != "go.mod" && !strings.HasSuffix(name, "/go.mod") {
			continue
		}
		mod, err := modfile.Parse(name, []byte(f[name].Text), nil)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
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
		mod.Cleanup()
		text, err := mod.Format()
		if err != nil {
			return err
		}
		f.set(name, string(text))
	}
	return nil
}

// withoutKey returns a YAML page without every key of this name at this indentation, with what is
// below it and the comment above it. Other lines stay as they are.
func withoutKey(page string, indent int, key string) string {
	lines := strings.SplitAfter(page, "\n")
	starts := strings.Repeat(" ", indent) + key + ":"
	var kept []string
	for i := 0; i < len(lines); i++ {
		if !strings.HasPrefix(lines[i], starts) {
			kept = append(kept, lines[i])
			continue
		}
		for len(kept) > 0 && strings.HasPrefix(kept[len(kept)-1], strings.Repeat(" ", indent)+"#") {
			kept = kept[:len(kept)-1]
		}
		for i+1 < len(lines) && deeper(lines[i+1], indent) {
			i++
		}
		if i+1 < len(lines) && strings.TrimSpace(lines[i+1]) == "" && len(kept) > 0 && strings.TrimSpace(kept[len(kept)-1]) == "" {
			i++ // one empty line of two
		}
	}
	return strings.TrimRight(strings.Join(kept, ""), "\n") + "\n"
}

// deeper reports whether a line belongs to a key of this indentation.
func deeper(line string, indent int) bool {
	text := strings.TrimLeft(line, " ")
	return strings.TrimSpace(text) != "" && len(line)-len(text) > indent
}

// A page marks the passages that are only true of the template's own modules, by its name.
func exampleOnly(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?s)[ \t]*<!-- ` + name + ` -->.*?<!-- /` + name + ` -->\n?`)
}

func exampleMarks(name string) *regexp.Regexp {
	return regexp.MustCompile(`[ \t]*<!-- /?` + name + ` -->\n?`)
}

// mentions returns the lines of hand-written code and settings that still speak of a module's code.
func (f Files) mentions(gone []string) (by []string) {
	for _, m := range gone {
		of := regexp.MustCompile(`\b` + regexp.QuoteMeta(f.Path()) + `/(modules|migrations)/` + m + `\b|\b` + m + `\.[a-z_]+\.v[0-9]+\b`)
		for _, name := range f.sorted() {
			if strings.HasPrefix(name, "architecture/contracts/") || slices.Contains([]string{"tools", "platform", "lab"}, strings.Split(name, "/")[0]) || strings.HasSuffix(name, ".md") {
				continue
			}
			n := 0
			for line := range strings.Lines(f[name].Text) {
				if n++; of.MatchString(line) {
					by = append(by, fmt.Sprintf("%s:%d still speaks of %s: %s", name, n, m, strings.TrimSpace(line)))
				}
			}
		}
	}
	return by
}
