package template

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repository reads this repository, which may be the template or a product.
func repository(t *testing.T) Files {
	t.Helper()
	f, err := Read(t.Context(), "../..")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRenamed(t *testing.T) {
	t.Parallel()
	f := Files{
		"go.mod": {Text: "module a.example/lamp\n\ngo 1.26.0\n"},
		"tools/go.mod": {Text: "module a.example/lamp/tools\n\nrequire (\n\ta.example/lamp v0.0.0\n" +
			"\ta.example/lamp/platform v0.0.0\n\ta.example/lampshade v1.2.3\n)\n\nreplace a.example/lamp => ../\n"},
		"a.go": {Text: "package lamp\n\nimport \"a.example/lamp/platform\"\n\n" +
			"// The lamp in lampshade, and clamp; a.example/lamp.\nvar lamp = `urn:lamp:x lamp-bin lamps` + platform.Lamp +\n\t\"\\ta.example/lamp\\nlamp\"\n"},
		"run.sh":   {Text: "docker compose -p lamp --file x/a.example/lamp\n", Runs: true},
		"page.yml": {Text: "home: lamp # or lampshade\nurl: postgres://host/lamp?x\n"},
	}
	got, err := f.Renamed("b.example/my-lights/v2", "my-lights")
	if err != nil {
		t.Fatal(err)
	}
	want := Files{
		"go.mod": {Text: "module b.example/my-lights/v2\n\ngo 1.26.0\n"},
		"tools/go.mod": {Text: "module b.example/my-lights/v2/tools\n\nrequire (\n\tb.example/my-lights/v2 v2.0.0\n" +
			"\tb.example/my-lights/v2/platform v0.0.0\n\ta.example/lampshade v1.2.3\n)\n\nreplace b.example/my-lights/v2 => ../\n"},
		"a.go": {Text: "package lamp\n\nimport \"b.example/my-lights/v2/platform\"\n\n" +
			"// The my-lights in lampshade, and clamp; b.example/my-lights/v2.\nvar lamp = `urn:my-lights:x my-lights-bin lamps` + platform.Lamp +\n\t\"\\tb.example/my-lights/v2\\nmy-lights\"\n"},
		"run.sh":   {Text: "docker compose -p my-lights --file x/a.example/my-lights\n", Runs: true},
		"page.yml": {Text: "home: my-lights # or lampshade\nurl: postgres://host/my-lights?x\n"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	back, err := got.Renamed("a.example/lamp", "lamp")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Errorf("renamed back: %s", diff)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	f := repository(t)
	first := f.Modules()[0]
	for name, want := range map[string]string{
		first: "already", "Shipping": "small letters", "a-b": "small letters", "x": "2 to 31", "select": "a meaning",
		f.Name(): "the whole product", "platform": "a meaning", "time": "a meaning", "error": "a meaning", "cfg": "a meaning", "bus": "a meaning", "shippingapi": "a meaning",
		"postgres": "a meaning", "monolith": "a meaning", "events": "a meaning", "pgthings": "a meaning",
		"func": "a meaning", "main": "a meaning", "internal": "a meaning", "testdata": "a meaning", "documentation": "a meaning",
	} {
		if _, _, err := f.With(Module{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a module %q: %v, want %s", name, err, want)
		}
		if _, err := f.Moved(first, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a module renamed to %q: %v, want %s", name, err, want)
		}
	}
	for _, name := range []string{"type", "func", "string", "main", "test", "internal", "user", "null", "template1"} {
		p := Product{Module: "acme.example/loans", Name: name}
		if err := f.Check(p); err == nil || !strings.Contains(err.Error(), "has a meaning here already;") {
			t.Errorf("a product %q: %v", name, err)
		}
	}
	for want, m := range map[string]Module{
		"no module publishes harbour.lit.v1":  {Name: "ferries", Listens: []string{"harbour.lit.v1"}},
		"cannot be published by ferries":      {Name: "ferries", Publishes: []string{"harbour.lit.v1"}},
		"cannot be published by ferries: wri": {Name: "ferries", Publishes: []string{"ferries.Sent"}},
		"would both be the Go type SentV2":    {Name: "ferries", Publishes: []string{"ferries.sent.v2", "ferries.sent_v2.v1"}},
		"sails.v1 is named twice":             {Name: "ferries", Publishes: []string{"ferries.sails.v1", "ferries.sails.v1"}},
		"no module harbour to call":           {Name: "ferries", Calls: []string{"harbour"}},
	} {
		if _, _, err := f.With(m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", m, err, want)
		}
	}
	for want, p := range map[string]Product{
		"cannot be a module path":     {Module: "loans", Name: "loans"},
		"from below a vendor":         {Module: "acme.example/vendor/loans", Name: "loans"},
		"small letters":               {Module: "acme.example/Loans", Name: "Loans"},
		"has a meaning here":          {Module: "acme.example/seam", Name: "seam"},
		"has a meaning here already;": {Module: "acme.example/x", Name: first},
		"no module harbour to keep":   {Module: "acme.example/loans", Name: "loans", Keep: []string{"harbour"}},
		"needs every module":          {Module: "acme.example/loans", Name: "loans", Lab: true},
	} {
		if err := f.Check(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", p, err, want)
		}
	}
}

// Modules that are added, in any order and listening to each other, and removed in any order that
// their needs allow, leave no trace.
func TestModulesLeaveNoTrace(t *testing.T) {
	t.Parallel()
	was := repository(t)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeated
		f, topics := was, []string{}
		for _, e := range was.events() {
			if !strings.Contains(was[contextMap].Text, "  "+e.Topic+":") { // why one is public is for a person to say
				topics = append(topics, e.Topic)
			}
		}
		names := []string{"ferries", "harbour", "weather"}
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for _, name := range names {
			m := Module{Name: name}
			if random.IntN(3) > 0 {
				m.Publishes = []string{name + ".begun.v1", name + ".paid_out.v2"}[:1+random.IntN(2)]
			}
			for _, topic := range topics {
				if random.IntN(3) == 0 {
					m.Listens = append(m.Listens, topic)
				}
			}
			for _, other := range was.Modules() {
				if _, err := was.client(other); err == nil && random.IntN(2) == 0 {
					m.Calls = append(m.Calls, other)
				}
			}
			with, byHand, err := f.With(m)
			if err != nil || len(byHand) > 0 {
				t.Fatalf("seed %d: add %+v: %v, by hand: %q", seed, m, err, byHand)
			}
			f, topics = with, append(topics, m.Publishes...)
		}
		for left := names; len(left) > 0; {
			i := random.IntN(len(left))
			if len(f.UsersOf(left[i])) > 0 {
				continue
			}
			without, byHand, err := f.Without(left[i])
			if err != nil || len(byHand) > 0 {
				t.Fatalf("seed %d: remove %s: %v, by hand: %q", seed, left[i], err, byHand)
			}
			f, left = without, slices.Delete(slices.Clone(left), i, i+1)
		}
		if diff := cmp.Diff(was, f); diff != "" {
			t.Fatalf("seed %d: adding and removing %v leaves:\n%s", seed, names, diff)
		}
	}
}

// What cannot be edited, because a person has written it anew, is said, and nothing else is spoilt.
func TestByHand(t *testing.T) {
	t.Parallel()
	f := repository(t)
	for from, want := range map[string]string{
		"var schemas =": "to schemas", "type config struct": "to config", "func wire(": "to wire",
	} {
		changed := maps.Clone(f)
		changed.set(root, strings.Replace(f[root].Text, from, strings.Replace(from, " ", " other", 1), 1))
		_, byHand, err := changed.With(Module{Name: "ferries"})
		if err != nil || len(byHand) != 1 || !strings.Contains(byHand[0], want) {
			t.Errorf("without %s: %v, by hand %q", from, err, byHand)
		}
	}
	changed := maps.Clone(f)
	changed.set(root, f[root].Text+"\nfunc {")
	if _, byHand, err := changed.With(Module{Name: "ferries"}); err != nil || len(byHand) != 1 {
		t.Errorf("of a file that is no Go: %v, by hand %q", err, byHand)
	}
}

// Of other modules' files and names nothing is a module's because it has its name, too.
func TestWhatIsAnothers(t *testing.T) {
	t.Parallel()
	others := Files{
		"modules/harbour/weather.go":                   {Text: "package harbour\n\n// The weather.\ntype x struct {\n\tWeather string `json:\"weather\"`\n}\n\nconst sql = \"SELECT weather FROM days\"\n"},
		"modules/harbour/internal/db/queries.sql.go":   {Text: "package db\n\nconst days = `SELECT day FROM weather`\n"},
		"modules/harbour/go.mod":                       {Text: "module a.example/app/modules/harbour\n"},
		"docs/the-weather.md":                          {Text: "The weather, as weather.turned.v1.\n"},
		"architecture/contracts/harbour.weather.v1.js": {Text: "weather\n"},
	}
	f := Files{
		"go.mod": {Text: "module a.example/app\n"}, "go.work": {Text: "go 1.26.0\n\nuse (\n\t.\n\t./modules/harbour\n\t./modules/weather\n)\n"},
		"modules/weather/go.mod": {Text: "module a.example/app/modules/weather\n"}, contextMap: {Text: "harbour: {}\n\nweather: {}\n"},
		"test/acceptance/weather_test.go": {Text: "package acceptance\n"}, "deploy/env/weather.service.env": {Text: "WEATHER_URL=x\n"},
		contracts + "weather.turned.v1.schema.json": {Text: "{}\n"},
	}
	maps.Copy(f, others)
	left, _, err := f.Without("weather")
	if err != nil {
		t.Fatal(err)
	}
	moved, err := f.Moved("weather", "climate")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range others {
		if left[name] != file || moved[name] != file {
			t.Errorf("%s: removed %q, renamed %q", name, left[name].Text, moved[name].Text)
		}
	}
	if len(left) != len(others)+3 || len(moved) != len(f) {
		t.Errorf("left %q, moved %q", left.sorted(), moved.sorted())
	}
}

func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	const header = "# The map.\n"
	for name, test := range map[string]struct{ page, want string }{
		"the first, below the page's comment": {header + "a: {}\nb: {}\n", header + "b: {}\n"},
		"with its comment":                    {header + "\n# Of a.\na:\n  x: [y]\n\nb: {}\n", header + "\nb: {}\n"},
		"the last":                            {"b: {}\n\na:\n  x: [y]\n", "b: {}\n"},
		"quoted":                              {"\"a\": {}\nb: {}\n", "b: {}\n"},
		"with an empty line in it":            {"a:\n  x: [y]\n\n  z:\n# why\n    c: d\nb: {}\n", "b: {}\n"},
		"text over several lines":             {"a:\n  public: {\n    x.y.v1: one\n      two }\n  calls:\n    c: >-\n      three\n      four\nb: {}\n", "b: {}\n"},
		"a prefix of another":                 {"ab: {}\na: {}\n", "ab: {}\n"},
	} {
		if got, err := withoutKeys(test.page, [][]string{nil}, "a"); err != nil || got != test.want {
			t.Errorf("%s: %v, got:\n%s", name, err, got)
		}
	}
	for _, page := range []string{"{a: {}, b: {}}\n", "b: {}\na: &of\n  x: y\nc: *of\n"} {
		if got, err := withoutKeys(page, [][]string{nil}, "a"); err == nil || !strings.Contains(err.Error(), "by hand") {
			t.Errorf("%s: %v, got:\n%s", page, err, got)
		}
	}
}

// No file of a person's is written over, by a new module or by one that is renamed.
func TestAFileThatIsThere(t *testing.T) {
	t.Parallel()
	f := repository(t)
	const theirs = "test/acceptance/ferries_test.go"
	f.set(theirs, "package acceptance\n")
	if _, _, err := f.With(Module{Name: "ferries"}); err == nil || !strings.Contains(err.Error(), theirs+" is there already") {
		t.Errorf("added: %v", err)
	}
	with, _, err := f.With(Module{Name: "barges"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := with.Moved("barges", "ferries"); err == nil || !strings.Contains(err.Error(), theirs+" is there already") {
		t.Errorf("renamed: %v", err)
	}
}

// Two versions of an event are two types, and what cannot be wired is said.
func TestWith(t *testing.T) {
	t.Parallel()
	f := repository(t)
	with, byHand, err := f.With(Module{Name: "ferries", Publishes: []string{"ferries.sailed.v1", "ferries.sailed.v2"}})
	if text := with["modules/ferries/ferriesapi/events.go"].Text; err != nil || len(byHand) > 0 ||
		!strings.Contains(text, "type SailedV2 struct") || !strings.Contains(text, "type Sailed struct") {
		t.Errorf("%v, %q: %s", err, byHand, text)
	}
	f.set(root, strings.NewReplacer("func wire(cfg config,", "func wire(c config,", "cfg.", "c.").Replace(f[root].Text))
	f.set(contextMap, "{"+strings.Join(f.Modules(), ": {}, ")+": {}}\n")
	if _, byHand, err = f.With(Module{Name: "ferries"}); err != nil || len(byHand) != 2 {
		t.Errorf("%v, by hand %q", err, byHand)
	}
}
