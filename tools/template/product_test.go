package template

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// The pages of a product link to what it has, and have a person make what its Makefile can.
func TestPagesOfAProduct(t *testing.T) {
	t.Parallel()
	f := repository(t)
	link := regexp.MustCompile("\\]\\(([^):#]+)[^):]*\\)|`make ([a-z-]+)")
	for _, keep := range [][]string{f.Modules(), nil} {
		product, err := f.Of(Product{Module: "acme.example/lamps", Name: "lamps", Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
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
					t.Errorf("keeping %v, %s says make %s, which is no target", keep, name, m[2])
				case m[1] != "" && !isFile && len(product.below(to)) == 0:
					t.Errorf("keeping %v, %s links to %s, which does not exist", keep, name, m[1])
				}
			}
		}
		if seen < 20 {
			t.Errorf("keeping %v, only %d links were found", keep, seen)
		}
	}
}
