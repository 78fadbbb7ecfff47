package template

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// program is a composition root as a list of changes: lines with - go with the module weather, whether
// it is removed or goes on elsewhere, those with r only when it is removed, and those with + come.
const program = ` package main
 
 import (
 	"errors"
 	"math/rand/v2"
 	_ "net/http/pprof"
-	"time"
 
-	weathermigrations "a.example/app/migrations/weather"
 	"a.example/app/modules/ferries"
-	"a.example/app/modules/weather"
r	"a.example/app/modules/weather/weatherapi"
r	"a.example/app/platform/web"
 )
 
 var schemas = map[string]any{
-	"weather": weathermigrations.FS, // its own
 	"ferries": 1,
 }
 
-var oneLine = map[string]int{"weather": 1, "ferries": 2}
+var oneLine = map[string]int{"ferries": 2}
 
 var calls = [][2]string{
 	{"ferries", "harbour"},
r	{"tower", "weather"},
-	{"weather", "tower"},
 }
 
 type config struct {
r	// The façade, to ask for the weather.
r	WeatherURL string ` + "`env:\"WEATHER_URL\"`" + `
r	Client     web.ClientConfig
 	// Nothing reads it yet.
 	Region string
-	// Its settings.
-	Weather weather.Config
 	// Of the ferries.
 	Ferries ferries.Config
 }
 
 func wire(cfg config, add func(string, any)) error {
r	// The forecast.
r	var forecast = weatherapi.NewClient(cfg.WeatherURL, cfg.Client)
-	add("weather", func() any {
-		m := weather.New(cfg.Weather, time.Now)
-		forecast = m // without the network
-		return m
-	})
-	climate, err := weather.Climate()
-	if err != nil {
-		return err
-	}
-	println(climate)
 	rails, err := ferries.Rails()
 	if err != nil {
 		return err
 	}
-	_, wet := weather.Wet()
-	println(wet)
-	if wet := weather.Dry(); wet {
-		return nil
-	}
 	func(wet bool) {
 		_, dry := !wet, "weather"
 		println("weather", rails, wet, dry)
 	}(true)
r	watch(forecast)
 	add("ferries", func() any {
 		m := ferries.New(cfg.Ferries)
 		return m
 	})
 	for _, m := range []string{"a"} {
 		if m == "" {
 			return errors.New(m)
 		}
 		switch {
-		case m == "weather" && cfg.Client.Token == "":
-			return errors.New("no token")
 		}
 		switch m {
-		case "weather", "ferries", "weather":
+		case "ferries":
 			_ = rand.Int()
 		}
 	}
 	return nil
 }
`

// changed returns the program with the lines that have one of these marks.
func changed(marks string) string {
	var text strings.Builder
	for line := range strings.Lines(program) {
		if strings.Contains(marks, line[:1]) {
			text.WriteString(line[1:])
		}
	}
	return text.String()
}

// A module's parts leave a program, and what only they have used; what has the same name elsewhere
// stays. A module that goes on elsewhere is called through its contract.
func TestPruned(t *testing.T) {
	t.Parallel()
	for stays, out := range map[string]pruner{"": {}, "r": {apart: true}} {
		out.module, out.gone = "a.example/app", []string{"weather"}
		f := Files{"cmd/monolith/main.go": {Text: changed(" -r")}}
		if held, err := f.prune("cmd/monolith", out); err != nil || len(held) > 0 {
			t.Fatal(err, held)
		}
		if diff := cmp.Diff(changed(" +"+stays), f["cmd/monolith/main.go"].Text); diff != "" {
			t.Errorf("apart: %v: %s", out.apart, diff)
		}
	}
}

// What makes another module of the one that is to leave is said.
func TestPrunedApartIsHeld(t *testing.T) {
	t.Parallel()
	for wiring, want := range map[string]string{
		`add("ferries", func() any { return ferries.New(weather.Today) })`:                                                   "cmd/monolith/main.go:10: add(",
		"var forecast *weather.Module\n\tadd(\"ferries\", func() any {\n\t\treturn ferries.New(forecast)\n\t})":              "cmd/monolith/main.go:12: return ferries.New(forecast)",
		"forecast := weather.New()\n\tfor range 2 {\n\t\tadd(\"ferries\", func() any { return ferries.New(forecast) })\n\t}": "cmd/monolith/main.go:12: add(",
		"_, err := weather.New()\n\terr = ferries.Open()\n\t_ = err":                                                         "cmd/monolith/main.go:11: err = ferries.Open()",
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
