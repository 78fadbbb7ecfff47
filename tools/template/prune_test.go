package template

import (
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
	if err := f.prune("cmd/monolith", "a.example/app", []string{"weather"}); err != nil {
		t.Fatal(err)
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
