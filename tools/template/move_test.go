package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A module that is renamed there and back is as it was, and nothing keeps its name meanwhile.
func TestMoved(t *testing.T) {
	t.Parallel()
	f, _, err := repository(t).With(Module{Name: "ferries", Publishes: []string{"ferries.sent.v1"}})
	if err != nil {
		t.Fatal(err)
	}
	if f, _, err = f.With(Module{Name: "harbour", Listens: []string{"ferries.sent.v1"}}); err != nil {
		t.Fatal(err)
	}
	const another = "  curl URL/v1/ferriesandbuses\n"
	f.set(tryFile, f[tryFile].Text+"  curl URL/v1/ferries\n"+another)
	if rest, _, err := f.Without("ferries", "harbour"); err != nil || !strings.Contains(rest[tryFile].Text, another) {
		t.Errorf("%v; another module's command is gone: %s", err, rest[tryFile].Text)
	}
	f.set(tryFile, strings.Replace(f[tryFile].Text, another, "", 1))
	moved, err := f.Moved("ferries", "barges")
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range moved {
		own := strings.HasPrefix(name, "modules/") || strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "migrations/")
		if own = own || name == tryFile; owned(name, "ferries") || own && strings.Contains(file.Text, "ferries") {
			t.Errorf("%s still speaks of ferries", name)
		}
	}
	back, err := moved.Moved("barges", "ferries")
	if err != nil {
		t.Fatal(err)
	}
	for name := range f { // a word of another product's files may have been barges
		if file := f[name]; back[name] != file && !strings.HasPrefix(name, "lab/") {
			t.Errorf("%s is not as it was: %s", name, cmp.Diff(file.Text, back[name].Text))
		}
	}
}

// Where other names have a module's name in them, and where prose has it, it stays.
func TestMovedPages(t *testing.T) {
	t.Parallel()
	f := Files{
		"go.mod": {Text: "module weather.example/app\n"},
		"modules/weather/go.mod": {Text: "module weather.example/app/modules/weather\n\nrequire (\n\tgithub.com/acme/weather v1.0.0\n" +
			"\tweather.example/app/modules/weather/weatherapi v0.0.0\n\tweather.example/sky v1.0.0\n)\n\n" +
			"replace weather.example/app/modules/weather/weatherapi => ./weatherapi\n"},
		"lab/go.mod": {Text: "module weather.example/app/lab\n\nreplace weather.example/app/modules/weather => ../modules/weather\n"},
		"go.work":    {Text: "go 1.26.0\n\nuse (\n\t.\n\t./modules/weather\n\t./modules/weather/weatherapi\n)\n"},
		contextMap: {Text: "# Of the weather.\n\"weather\":\n  public:\n    weather.turned.v1: the weather service\nferries:\n  listens_to: [weather.seen.v1]\n" +
			"  calls: { weather: no ferry sails in bad weather }\n"},
		"deploy/routes.yaml": {Text: "# Where the weather is, as bin/weather says.\nupstreams:\n  monolith: { url: http://127.0.0.1:1 }\n  weather: { url: \"http://weather:2\" }\n" +
			"routes:\n  weather:\n    prefix: /v1/weather\n    sides: [{ upstream: monolith, weight: 1 }, { weight: 99, upstream: weather }]\n" +
			"    shadow: { upstream: 'weather', ignore: [/weather] }\n  weather-maps:\n    prefix: /v1/weather/maps\n    sides:\n      - upstream: weather\n"},
		sumsFile: {Text: "00  migrations/weather/0001_weather.sql\n"},
	}
	moved, err := f.Moved("weather", "climate")
	if err != nil {
		t.Fatal(err)
	}
	want := Files{
		"go.mod": f["go.mod"],
		"modules/climate/go.mod": {Text: "module weather.example/app/modules/climate\n\nrequire (\n\tgithub.com/acme/weather v1.0.0\n" +
			"\tweather.example/app/modules/climate/climateapi v0.0.0\n\tweather.example/sky v1.0.0\n)\n\n" +
			"replace weather.example/app/modules/climate/climateapi => ./climateapi\n"},
		"lab/go.mod": {Text: "module weather.example/app/lab\n\nreplace weather.example/app/modules/climate => ../modules/climate\n"},
		"go.work":    {Text: "go 1.26.0\n\nuse (\n\t.\n\t./modules/climate\n\t./modules/climate/climateapi\n)\n"},
		contextMap: {Text: "# Of the weather.\n\"climate\":\n  public:\n    climate.turned.v1: the weather service\nferries:\n  listens_to: [climate.seen.v1]\n" +
			"  calls: { climate: no ferry sails in bad weather }\n"},
		"deploy/routes.yaml": {Text: "# Where the weather is, as bin/climate says.\nupstreams:\n  monolith: { url: http://127.0.0.1:1 }\n  climate: { url: \"http://climate:2\" }\n" +
			"routes:\n  climate:\n    prefix: /v1/climate\n    sides: [{ upstream: monolith, weight: 1 }, { weight: 99, upstream: climate }]\n" +
			"    shadow: { upstream: 'climate', ignore: [/weather] }\n  weather-maps:\n    prefix: /v1/climate/maps\n    sides:\n      - upstream: climate\n"},
		sumsFile: {Text: "00  migrations/climate/0001_weather.sql\n"},
	}
	if diff := cmp.Diff(want, moved); diff != "" {
		t.Error(diff)
	}
}
