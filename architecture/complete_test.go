package architecture

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"example.com/shop/cmd/gateway/routes"
)

// A table gets the routes that it lacks, or is refused: what is written is always one that the
// façade takes.
func TestComplete(t *testing.T) {
	t.Parallel()
	const one = `upstreams:
  parcels: { url: "http://parcels:8080" }
routes:
  parcels: # the first
    prefix: /v1/parcels
    sides: [{ upstream: parcels, weight: 100 }]
`
	for name, test := range map[string]struct{ table, refusal string }{
		"a table":               {one, ""},
		"no last end of line":   {strings.TrimSuffix(one, "\n"), ""},
		"the monolith":          {strings.NewReplacer("parcels: {", "monolith: {", "upstream: parcels", "upstream: monolith").Replace(one), ""},
		"the name is taken":     {one + "  tolls:\n    prefix: /v2/tolls\n    sides: [{ upstream: parcels, weight: 100 }]\n", "by hand"},
		"another indent":        {strings.ReplaceAll(one, "  ", "    "), "by hand"},
		"a list over two lines": {strings.Replace(one, "weight: 100 }]", "weight: 100 \n      }]", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			internal := func(module string) []string { return []string{"/v1/" + module + "/quotes"} }
			completed, err := complete(test.table, []string{"parcels", "tolls"}, nil, internal)
			if test.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), test.refusal) {
					t.Errorf("got %v in\n%s", err, completed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			file, err := routes.Parse([]byte(completed))
			if err != nil || file.Routes["tolls"].Prefix != "/v1/tolls" || len(file.Routes["tolls"].Internal) != 1 || !strings.Contains(completed, "# the first") {
				t.Errorf("%v in\n%s", err, completed)
			}
			if again, err := complete(completed, []string{"parcels", "tolls"}, nil, internal); err != nil || again != completed {
				t.Errorf("the second time: %v,\n%s", err, again)
			}
		})
	}
}

// A node ends where its last line does, whatever it is written as.
func TestLastLine(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{
		" {}":                           1,
		"":                              1,
		"\n  - b\n  - c: d # why\n":     3,
		" [b,\n  c\n  ]":                3,
		" { b: c,\n  d: [e]\n}":         3,
		" |\n  one\n\n  two\n":          4,
		" >-\n  one\n  two\n\n":         3,
		" one\n  two\n\n  three":        4,
		" \"one\n  two\"":               2,
		"\n  b:\n    c: 'one\n\n\n  d'": 6,
	} {
		page := "a:" + value + "\n# of z\nz: {}\n"
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(page), &document); err != nil {
			t.Fatal(err)
		}
		if got := LastLine(page, document.Content[0].Content[1]); got != want {
			t.Errorf("%q ends on line %d, and not on %d", page, want, got)
		}
	}
}
