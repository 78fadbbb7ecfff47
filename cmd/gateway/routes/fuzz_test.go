package routes

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A file is refused in one line, or stays the same when it is marshalled and parsed again.
func FuzzParse(f *testing.F) {
	const weight = "weight: 100 }, {"
	for _, text := range []string{
		good, strings.ReplaceAll(good, "\n", "\r\n"), "\ufeff" + good, "routes: &r { x: *r }", "- a", "{", "null", "a: !!binary x",
		strings.Replace(good, weight, `"weight": "100" }, {`, 1),
		strings.Replace(good, weight, "weight: 0b1100100 }, {", 1),
		strings.Replace(good, weight, "weight: &w 100 }, {", 1),
		strings.NewReplacer(weight, "weight: &w 100 }, {", "weight: 100\n", "weight: *w\n").Replace(good),
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
	})
}
