package routing

import (
	"strings"
	"testing"

	"example.com/shop/cmd/gateway/routes"
)

const oneSide = `# the façade's table
upstreams:
  monolith: { url: "http://127.0.0.1:8090" } # the first
routes:
  tolls: # keep this
    prefix: /v1/tolls
    sides:
      - { upstream: monolith, weight: 100 } # and this
  parcels:
    prefix: /v1/parcels
    sides: [{ upstream: monolith, weight: 100 }]
`

// A side is added and removed alone: comments and layout stay, to the byte.
func TestSidesComeAndGo(t *testing.T) {
	t.Parallel()
	added := func(sides string) string {
		return strings.NewReplacer("# the first\n", "# the first\n  tolls: { url: \"http://127.0.0.1:8094\", probe: \"http://127.0.0.1:8194/readyz\" }\n",
			"[{ upstream: monolith, weight: 100 }]", sides).Replace(oneSide)
	}
	two := strings.Replace(added("[{ upstream: monolith, weight: 100 }]"), "# and this\n", "# and this\n      - { upstream: \"tolls\", weight: 0 }\n", 1)
	inOneLine := added(`[{ upstream: monolith, weight: 100 }, { upstream: "tolls", weight: 0 }]`)
	tollsFirst := added(`[{ upstream: "tolls", weight: 0 }, { upstream: monolith, weight: 100 }]`)
	flow := strings.NewReplacer("upstreams:\n  monolith", "upstreams: { monolith", "8090\" }", "8090\" } }").Replace(oneSide)
	upstream := routes.Upstream{URL: "http://127.0.0.1:8094", Probe: "http://127.0.0.1:8194/readyz"}
	for name, test := range map[string]struct {
		edit          Edit
		before, after string
		refused       string
	}{
		"added":            {AddSide("tolls", "tolls", upstream), oneSide, two, ""},
		"removed":          {RemoveSide("tolls", "tolls"), two, oneSide, ""},
		"twice":            {AddSide("tolls", "tolls", upstream), two, "", "is a side of tolls already"},
		"at two addresses": {AddSide("tolls", "monolith", upstream), strings.Replace(oneSide, "upstream: monolith", "upstream: other", 1), "", "already, at http://127.0.0.1:8090"},
		"no such route":    {AddSide("lamps", "tolls", upstream), oneSide, "", "there is no route lamps"},
		"added in a line":  {AddSide("parcels", "tolls", upstream), oneSide, inOneLine, ""},
		"removed there":    {RemoveSide("parcels", "tolls"), inOneLine, oneSide, ""},
		"the first there":  {RemoveSide("parcels", "tolls"), tollsFirst, oneSide, ""},
		"all on one line":  {AddSide("parcels", "tolls", upstream), flow, "", "say seam route apply"},
		"over lines":       {AddSide("tolls", "tolls", upstream), strings.Replace(oneSide, "8090\" }", "8090\"\n    }", 1), strings.Replace(two, "8090\" }", "8090\"\n    }", 1), ""},
		"not a side":       {RemoveSide("tolls", "lamps"), two, "", "lamps is no side of tolls"},
		"with a weight":    {RemoveSide("tolls", "monolith"), two, "", "has a weight of 100"},
	} {
		got, err := test.edit("", []byte(test.before))
		if test.refused != "" {
			if err == nil || !strings.Contains(err.Error(), test.refused) {
				t.Errorf("%s: %v, want %q", name, err, test.refused)
			}
		} else if err != nil || string(got) != test.after {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, test.after)
		}
	}
}
