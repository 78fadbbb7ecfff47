package routes

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A file is refused in one line, or stays the same when it is marshalled and parsed again; and a
// change of weights changes nothing else.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", good, good + "---\n" + good, "---\n" + good, strings.ReplaceAll(good, "\n", "\r\n"), "\ufeff" + good, "routes: &r { x: *r }", "- a", "{", "null", "a: !!binary x",
		strings.Replace(good, "weight: 100, home: shop }, {", `"weight": "100", home: shop }, {`, 1),
		strings.Replace(good, "weight: 100, home: shop }, {", "weight: 0b1100100, home: shop }, {", 1),
		strings.Replace(good, "weight: 100, home: shop }, {", "weight: &w 100, home: shop }, {", 1),
		strings.Replace(strings.Replace(good, "weight: 100, home", "weight: &w 100, home", 1), "weight: 100\n",
			"weight: *w\n", 1),
		strings.Replace(good, "monolith: {", "\U0001F375: { url: http://t }\n  monolith: {", 1),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q: %q is more than a line", data, err)
			}
			return
		}
		text, err := yaml.Marshal(file)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if again, err := Parse(text); err != nil || !reflect.DeepEqual(again, file) {
			t.Errorf("%q is\n%+v, and written anew\n%+v (%v)", data, file, again, err)
		}
		for name, route := range file.Routes {
			// The last side takes all.
			weights, want := map[string]int{}, route.Sides
			route.Sides = nil
			for i, side := range want {
				side.Weight = 0
				if i == len(want)-1 {
					side.Weight = 100
				}
				weights[side.Upstream] = side.Weight
				route.Sides = append(route.Sides, side)
			}
			next, err := setWeights(data, name, weights)
			if err != nil {
				continue
			}
			changed, err := Parse(next)
			if err != nil {
				continue // SetWeights would refuse it, too
			}
			file.Routes[name] = route
			if !reflect.DeepEqual(changed, file) {
				t.Errorf("%q with %v for %s is\n%+v, want\n%+v", data, weights, name, changed, file)
			}
			file.Routes[name] = Route{Prefix: route.Prefix, Sides: want, Shadow: route.Shadow}
		}
	})
}
