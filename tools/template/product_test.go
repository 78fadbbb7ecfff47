package template

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// The pages of a product, also one of a product, link to what it has, and have a person make what
// its Makefile can.
func TestPagesOfAProduct(t *testing.T) {
	t.Parallel()
	f := repository(t)
	whole, err := f.Of(Product{Module: "acme.example/lamps", Name: "lamps", Keep: f.Modules()})
	if err != nil {
		t.Fatal(err)
	}
	pages(t, "keeping all", whole)
	for from, f := range map[string]Files{"the template": f, "a product": whole} {
		bare, err := f.Of(Product{Module: "acme.example/stools", Name: "stools"})
		if err != nil {
			t.Fatal(err)
		}
		pages(t, "keeping nothing of "+from, bare)
	}
}

// A product's name may be another one than its path's, also for a product of it.
func TestNameOfAProduct(t *testing.T) {
	t.Parallel()
	f := repository(t)
	named, err := f.Of(Product{Module: "acme.example/lamps", Name: "lighting", Keep: f.Modules()})
	if err != nil {
		t.Fatal(err)
	}
	product, err := named.Of(Product{Module: "acme.example/stools", Name: "seating", Keep: f.Modules()})
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range product {
		if strings.Contains(file.Text, "lighting") {
			t.Errorf("%s has the name of what it was made of", name)
		}
	}
	if got := product.Name(); got != "seating" {
		t.Errorf("it is called %s", got)
	}
}

func pages(t *testing.T, what string, product Files) {
	t.Helper()
	link := regexp.MustCompile("\\]\\(([^):#]+)[^):]*\\)|`make ([a-z-]+)")
	seen := 0
	for name, file := range product {
		if path.Ext(name) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(file.Text, -1) {
			seen++
			to := path.Join(path.Dir(name), m[1])
			switch _, isFile := product[to]; {
			case m[2] != "" && !strings.Contains(product["Makefile"].Text, "\n"+m[2]+":"):
				t.Errorf("%s, %s says make %s, which is no target", what, name, m[2])
			case m[1] != "" && !isFile && len(product.below(to)) == 0:
				t.Errorf("%s, %s links to %s, which does not exist", what, name, m[1])
			}
		}
	}
	if seen < 20 {
		t.Errorf("%s, only %d links were found", what, seen)
	}
}
