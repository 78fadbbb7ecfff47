package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A module's parts leave a program, and what only they have used; what has the same name elsewhere
// stays.
func TestPruned(t *testing.T) {
	t.Parallel()
	f := Files{"go.mod": {Text: "module a.example/app\n"}, "cmd/monolith/main.go": {Text: `package main

import (
	"errors"
	"math/rand/v2"
	_ "net/http/pprof"
	"time"

	weathermigrations "a.example/app/migrations/weather"
	"a.example/app/modules/ferries"
	"a.example/app/modules/weather"
	"a.example/app/modules/weather/weatherapi"
	"a.example/app/platform/web"
)

var schemas = map[string]any{
	"weather": weathermigrations.FS, // its own
	"ferries": 1,
}

var calls = [][2]string{
	{"ferries", "harbour"},
	{"tower", "weather"},
}

type config struct {
	// The façade, to ask for the weather.
	WeatherURL string ` + "`env:\"WEATHER_URL\"`" + `
	Client     web.ClientConfig
	// Nothing reads it yet.
	Region  string
	Weather    weather.Config
	Ferries    ferries.Config
}

func wire(cfg config, add func(string, any)) error {
	// The forecast.
	var forecast = weatherapi.NewClient(cfg.WeatherURL, cfg.Client)
	add("weather", func() any {
		m := weather.New(cfg.Weather, time.Now)
		forecast = m
		return m
	})
	add("ferries", func() any {
		m := ferries.New(cfg.Ferries)
		return m
	})
	for _, m := range []string{"a"} {
		if m == "" {
			return errors.New(m)
		}
		switch {
		case m == "weather" && cfg.Client.Token == "":
			return errors.New("no token")
		}
		switch m {
		case "weather", "ferries", "weather":
			_ = rand.Int()
		}
	}
	return nil
}
`}}
	if held, err := f.prune("cmd/monolith", pruner{module: "a.example/app", gone: []string{"weather"}}); err != nil || len(held) > 0 {
		t.Fatal(err, held)
	}
	want := `package main

import (
	"errors"
	"math/rand/v2"
	_ "net/http/pprof"

	"a.example/app/modules/ferries"
)

var schemas = map[string]any{
	"ferries": 1,
}

var calls = [][2]string{
	{"ferries", "harbour"},
}

type config struct {
	// Nothing reads it yet.
	Region  string
	Ferries ferries.Config
}

func wire(cfg config, add func(string, any)) error {
	add("ferries", func() any {
		m := ferries.New(cfg.Ferries)
		return m
	})
	for _, m := range []string{"a"} {
		if m == "" {
			return errors.New(m)
		}
		switch {
		}
		switch m {
		case "ferries":
			_ = rand.Int()
		}
	}
	return nil
}
`
	if diff := cmp.Diff(want, f["cmd/monolith/main.go"].Text); diff != "" {
		t.Error(diff)
	}
}

// A module that goes on elsewhere is called through its contract, and what made it here goes.
func TestPrunedApart(t *testing.T) {
	t.Parallel()
	const program = `package main

import (
	"time"

	"a.example/app/modules/ferries"
	"a.example/app/modules/weather"
	"a.example/app/modules/weather/weatherapi"
	"a.example/app/platform/web"
)

var schemas = map[string]int{"weather": 1, "ferries": 2}

var calls = [][2]string{
	{"ferries", "weather"},
	{"weather", "tower"},
}

type config struct {
	// The façade, to ask for the weather.
	WeatherURL string ` + "`env:\"WEATHER_URL\"`" + `
	Client     web.ClientConfig
	Weather    weather.Config
	Ferries    ferries.Config
}

func wire(cfg config, add func(string, any)) {
	var forecast ferries.Forecast = weatherapi.NewClient(cfg.WeatherURL, cfg.Client)
	add("weather", func() any {
		m := weather.New(cfg.Weather, time.Now)
		forecast = m // without the network
		return m
	})
	add("ferries", func() any { return ferries.New(cfg.Ferries, forecast) })
}
`
	f := Files{"cmd/monolith/main.go": {Text: program}}
	apart := pruner{module: "a.example/app", gone: []string{"weather"}, apart: true}
	if held, err := f.prune("cmd/monolith", apart); err != nil || len(held) > 0 {
		t.Fatal(err, held)
	}
	want := `package main

import (
	"a.example/app/modules/ferries"
	"a.example/app/modules/weather/weatherapi"
	"a.example/app/platform/web"
)

var schemas = map[string]int{"ferries": 2}

var calls = [][2]string{
	{"ferries", "weather"},
}

type config struct {
	// The façade, to ask for the weather.
	WeatherURL string ` + "`env:\"WEATHER_URL\"`" + `
	Client     web.ClientConfig
	Ferries    ferries.Config
}

func wire(cfg config, add func(string, any)) {
	var forecast ferries.Forecast = weatherapi.NewClient(cfg.WeatherURL, cfg.Client)
	add("ferries", func() any { return ferries.New(cfg.Ferries, forecast) })
}
`
	if diff := cmp.Diff(want, f["cmd/monolith/main.go"].Text); diff != "" {
		t.Error(diff)
	}
}

// What makes another module of the one that is to leave is said.
func TestPrunedApartIsHeld(t *testing.T) {
	t.Parallel()
	for wiring, want := range map[string]string{
		`add("ferries", func() any { return ferries.New(weather.Today) })`:                                                   "cmd/monolith/main.go:10: add(",
		"var forecast *weather.Module\n\tadd(\"ferries\", func() any {\n\t\treturn ferries.New(forecast)\n\t})":              "cmd/monolith/main.go:12: return ferries.New(forecast)",
		"forecast := weather.New()\n\tfor range 2 {\n\t\tadd(\"ferries\", func() any { return ferries.New(forecast) })\n\t}": "cmd/monolith/main.go:12: add(",
		"}\n\nfunc today() any {\n\treturn weather.Today":                                                                    "cmd/monolith/main.go:13: return weather.Today",
		"}\n\nvar today = weather.Today\n\nfunc init() {":                                                                    "cmd/monolith/main.go uses weather.Today",
	} {
		f := Files{"cmd/monolith/main.go": {Text: "package main\n\nimport (\n\t\"a.example/app/modules/ferries\"\n\t\"a.example/app/modules/weather\"\n)\n\n" +
			"func wire(add func(string, any)) {\n\tadd(\"weather\", func() any { return weather.New() })\n\t" + wiring + "\n}\n"}}
		held, err := f.prune("cmd/monolith", pruner{module: "a.example/app", gone: []string{"weather"}, apart: true})
		if err != nil || len(held) != 1 || !strings.HasPrefix(held[0], want) {
			t.Errorf("%s: %v, %q", wiring, err, held)
		}
	}
}
