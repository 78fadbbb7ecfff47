package routes

import (
	"strings"
	"testing"
)

const good = `# the façade's table
upstreams:
  monolith: { url: "http://127.0.0.1:8090" }
  tolls: { url: "http://127.0.0.1:8092", probe: "http://127.0.0.1:8093/readyz" }
routes:
  tolls:   # keep this
    prefix: /v1/tolls
    sides: # façade, and one line for both
      [{ upstream: monolith, weight: 100 }, { upstream: tolls, weight: 0 }] # and this
    shadow: { upstream: tolls, percent: 5, ignore: ["/items/*/created_at"] }
  parcels:
    prefix: /v1/parcels
    sides:
      - upstream: monolith
        weight: 100
`

func TestMistakesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, mistake, want string }{
		{good, "", "there are no routes"},
		{good, "routes: [", "yaml"},
		{good, good + "---\n" + good, "more than one document"},
		{"weight: 100 }", "wieght: 100 }", "wieght"},
		{"weight: 100 }", "weight: many }", "many"},
		{"weight: 100 }", "weight: 90 }", "add up to 90"},
		{"weight: 0 }", "weight: -1 }", "negative"},
		{"weight: 100 }", "weight: 0 }", "add up to 0"},
		{"{ upstream: tolls, weight", "{ upstream: ledger, weight", `"ledger" is not among`},
		{"{ upstream: tolls, weight", "{ upstream: monolith, weight", "twice"},
		{"/v1/tolls\n", "/v1/tolls/\n", "prefix must be like"},
		{"/v1/tolls\n", "v1\n", "prefix must be like"},
		{"/v1/tolls\n", "/v1/parcels\n", "same prefix"},
		{"/v1/tolls\n", "/v1/tolls\n    internal: [/v1/parcels/rates]\n", "internal must be below its prefix"},
		{"/v1/tolls\n", "/v1/tolls\n    internal: [/v1/tolls]\n", "internal must be below its prefix"},
		{"/v1/tolls\n", "/v1/tolls\n    internal: [/v1/tolls/rates/]\n", "internal must be below its prefix"},
		{"/v1/tolls\n", "/v1/tolls\n    internal: [/v1/tolls/rates, /v1/tolls/rates]\n", "same prefix"},
		{`"http://127.0.0.1:8090"`, `"127.0.0.1:8090"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090/v1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://127.0.0.1:8090?v=1"`, "url must be like"},
		{`"http://127.0.0.1:8090"`, `"http://"`, "url must be like"},
		{"http://127.0.0.1:8093/readyz", "readyz", "probe must be like"},
		{"shadow: { upstream: tolls", "shadow: { upstream: ledger", "shadow"},
		{"percent: 5", "percent: 101", "between 0 and 100"},
		{"/items/*/created_at", "created_at", "no JSON pointer"},
	} {
		_, err := Parse([]byte(strings.Replace(good, c.old, c.mistake, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", c.mistake, err, c.want)
		}
	}
}

// A side that newly has weight is asked. What matters is that it answers, and with what.
func TestARouteToNobodyIsFound(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(`8090"`, `8090", probe: "http://ops/a"`, "http://127.0.0.1:8093/readyz", "http://ops/b").Replace(good)
	var before, file File
	for weights, into := range map[string]*File{"weight: 100 }|weight: 0 }": &before, "weight: 60 }|weight: 40 }": &file} {
		old, next, _ := strings.Cut(weights, "|")
		parsed, err := Parse([]byte(strings.NewReplacer("weight: 100 }", old, "weight: 0 }", next).Replace(text)))
		if err != nil {
			t.Fatal(err)
		}
		*into = parsed
	}
	for _, c := range []struct {
		answers    map[string]int
		any, whole string // the route that is refused
		newly      string
	}{
		{map[string]int{"a/tolls": 200, "b/tolls": 200, "a/parcels": 503}, "", "", ""},
		{map[string]int{"a/tolls": 501, "b/tolls": 200, "a/parcels": 200}, "tolls", "", ""},
		{map[string]int{"a/tolls": 501, "b/tolls": 501, "a/parcels": 200}, "tolls", "tolls", "tolls"},
		{map[string]int{"a/tolls": 200, "b/tolls": 501}, "tolls", "", "tolls"},
		{map[string]int{"a/parcels": 501}, "parcels", "parcels", ""},
		{nil, "", "", ""},
	} {
		ask := func(url string) int { return c.answers[strings.TrimPrefix(url, "http://ops/")] }
		all, newly := file.Probe(File{}, ask), file.Probe(before, ask)
		if len(all) != 3 || len(newly) != 1 {
			t.Errorf("asked were %v, and newly %v", all, newly)
		}
		for want, err := range map[*string]error{&c.any: all.Unserved(false), &c.whole: all.Unserved(true), &c.newly: newly.Unserved(false)} {
			if (err == nil) != (*want == "") || err != nil && !strings.Contains(err.Error(), "route "+*want+" leads to nobody") {
				t.Errorf("%v: %v, want %q", c.answers, err, *want)
			}
		}
	}
}

func TestARouteIsOfTheModuleThatItsPrefixNames(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"/v1/tolls": "tolls", "/v1/lamps/lit": "lamps", "/": "", "/v1": "", "/v1/a b": "", "/v1/%2e": "", "/v1/a?b": "",
	} {
		if got := (Route{Prefix: prefix}).Module(); got != want {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}
