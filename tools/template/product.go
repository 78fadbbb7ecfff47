package template

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/module"
)

// Product is a product that is made of the template. seam new keeps it in .seam.yaml, for seam
// update.
type Product struct {
	Template struct {
		Source  string `yaml:"source"`  // a git repository, by its URL or folder
		Version string `yaml:"version"` // a commit or a tag of it
	} `yaml:"template"`
	Module string   `yaml:"module"` // the module path
	Name   string   `yaml:"name"`
	Keep   []string `yaml:"keep,flow"` // modules of the example; none for one tiny module
	Lab    bool     `yaml:"lab"`
}

// Record is the file of a product that says what it was made of.
const Record = ".seam.yaml"

// RecordHead is how it begins.
const RecordHead = "# What this product was made of. seam update reads and writes it.\n"

// Example is the tiny module of a product that keeps none of the template's. It listens to its own
// event, because there is no other.
var Example = Module{Name: "notes", Publishes: []string{"notes.added.v1"}, Listens: []string{"notes.added.v1"}}

var productName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// ownNames are the skeleton's own, and databases that every PostgreSQL has.
var ownNames = []string{"seam", "template", "postgres", "template0", "template1", "monolith", "gateway", "example", "test", "go", "lab"}

// Check refuses a product that cannot be made, and says why.
func (f Files) Check(p Product) error {
	if err := module.CheckPath(p.Module); err != nil {
		return fmt.Errorf("%s cannot be a module path: %w; take one as in acme.example/loans", p.Module, err)
	}
	if slices.Contains(strings.Split(p.Module, "/"), "vendor") {
		return fmt.Errorf("%s cannot be a module path: Go imports no package from below a vendor; take one as in acme.example/loans", p.Module)
	}
	if !productName.MatchString(p.Name) || len(p.Name) > 40 {
		return fmt.Errorf("%q cannot be a name: take at most 40 small letters, digits and single hyphens, a letter first, "+
			"as in my-loans; --name gives another one than the module path's", p.Name)
	}
	if isWord(p.Name) || slices.Contains(ownNames, p.Name) || slices.Contains(append(f.Modules(), Example.Name), p.Name) {
		return fmt.Errorf("%q cannot be a name: it has a meaning here already; --name gives another one", p.Name)
	}
	for _, m := range p.Keep {
		if !slices.Contains(f.Modules(), m) {
			return fmt.Errorf("there is no module %s to keep; there are %s", m, strings.Join(f.Modules(), ", "))
		}
	}
	gone := f.without(p.Keep)
	if missing := f.missing(p.Keep); len(missing) > 0 {
		return fmt.Errorf("%s cannot be kept without %s: keep them too, or use --empty", strings.Join(p.Keep, ", "), strings.Join(missing, ", "))
	}
	if p.Lab && len(gone) > 0 {
		return errors.New("--lab needs every module of the example, which the lab is about: leave --keep and --empty out")
	}
	return nil
}

// without returns the modules that are not kept.
func (f Files) without(keep []string) []string {
	return slices.DeleteFunc(f.Modules(), func(m string) bool { return slices.Contains(keep, m) })
}

// missing returns the modules that kept ones need, directly or through others.
func (f Files) missing(keep []string) (missing []string) {
	needed := slices.Clone(keep)
	for i := 0; i < len(needed); i++ {
		for _, other := range f.Modules() {
			uses := func(line string) bool { return strings.HasPrefix(line, "modules/"+needed[i]+"/") }
			if !slices.Contains(needed, other) && slices.ContainsFunc(f.UsersOf(other), uses) {
				needed, missing = append(needed, other), append(missing, other)
			}
		}
	}
	return missing
}

// Of returns the files of the product, but for what follows from its modules (seam generate). It
// does not change f.
func (f Files) Of(p Product) (Files, error) {
	if err := f.Check(p); err != nil {
		return nil, err
	}
	gone := f.without(p.Keep)
	product := maps.Clone(f)
	if !p.Lab {
		if err := product.dropLab(); err != nil {
			return nil, err
		}
	}
	for _, m := range gone {
		for _, page := range product.below("architecture/decisions") {
			if strings.Contains(page, "-"+m+"-") {
				delete(product, page)
			}
		}
	}
	product, byHand, err := product.Without(gone...)
	if err != nil {
		return nil, err
	}
	if len(byHand) > 0 {
		return nil, fmt.Errorf("the template itself cannot be taken apart: %s", strings.Join(byHand, "; "))
	}
	for mark, kept := range map[string]bool{f.Name(): len(gone) == 0, "lab": p.Lab} {
		if kept { // with the marks, for a product of the product
			continue
		}
		passage := passage(mark)
		for name, file := range product {
			if strings.HasSuffix(name, ".md") {
				product.set(name, passage.ReplaceAllString(file.Text, ""))
			}
		}
	}
	if len(p.Keep) == 0 {
		if product, _, err = product.With(Example); err != nil {
			return nil, err
		}
		product.set(contextMap, strings.Replace(product[contextMap].Text, "to be said, who will listen", "", 1))
	}
	if err := product.pages(p); err != nil {
		return nil, err
	}
	if product, err = product.Renamed(p.Module, p.Name); err != nil {
		return nil, err
	}
	record, err := yaml.Marshal(p)
	if err != nil {
		return nil, err
	}
	product.set(Record, RecordHead+string(record))
	return product, nil
}

// dropLab takes the lab out, and what serves it alone.
func (f Files) dropLab() error {
	for name := range f {
		if strings.HasPrefix(name, "lab/") || slices.Contains(labs, name) {
			delete(f, name)
		}
	}
	return f.dropUses(func(unit string) bool { return unit == "lab" })
}

// labs are the files outside of lab/ that only the lab needs, or that are about the template's own
// releases and measurements.
var labs = []string{
	".github/workflows/nightly.yaml", "deploy/PERFORMANCE.md", "deploy/release", "deploy/build-released.sh",
}

// pages writes the product's own pages.
func (f Files) pages(p Product) error {
	for from, to := range map[string]string{"README.md": "README.md", "try.txt": "architecture/try.txt"} {
		if to == "architecture/try.txt" && len(p.Keep) > 0 {
			continue
		}
		text, err := render("product/"+from+".tmpl", struct {
			Product
			Modules []string
			Title   string
		}{p, f.Modules(), strings.ToUpper(p.Name[:1]) + p.Name[1:]})
		if err != nil {
			return err
		}
		f.set(to, text)
	}
	return nil
}
