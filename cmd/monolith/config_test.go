package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

func TestConfig(t *testing.T) {
	modules := slices.Sorted(maps.Keys(schemas))
	all, first, rest := strings.Join(modules, ","), modules[0], strings.Join(modules[1:], ",")
	token := "" // needed if this program calls a module that has left it
	for _, call := range calls {
		if schemas[call[1]] == nil {
			token = "token"
		}
	}
	type row struct{ modules, bus, token, refusal string }
	rows := map[string]row{
		"all on memory":         {all, "memory", token, ""},
		"all by one word":       {"all", "memory", token, ""},
		"all on nats":           {"all", "nats", token, ""},
		"all and one":           {"all," + first, "memory", "", "MODULES names \"all\""},
		"no such bus":           {"all", "kafka", "", "BUS must be memory or nats"},
		"one twice":             {all + "," + first, "memory", "", "MODULES names " + first + " twice"},
		"one that there is not": {first + ",absent", "nats", "token", "MODULES names \"absent\""},
		"none":                  {",", "nats", "token", "MODULES"},
	}
	if rest != "" {
		rows["some on nats"] = row{rest, "nats", "token", ""}
		rows["some on memory"] = row{rest, "memory", "token", "BUS"}
	}
	for _, call := range calls {
		rows[call[0]+" without a token for "+call[1]] = row{call[0], "nats", "", "SERVICE_TOKEN"}
		rows[call[0]+" with a token for "+call[1]] = row{call[0], "nats", "token", ""}
		if schemas[call[1]] != nil { // it has not left the monolith
			rows[call[0]+" beside "+call[1]] = row{call[0] + "," + call[1], "nats", "", ""}
		}
	}
	for name, test := range rows {
		t.Run(name, func(t *testing.T) {
			t.Setenv("MODULES", test.modules)
			t.Setenv("BUS", test.bus)
			t.Setenv("SERVICE_TOKEN", test.token)
			_, err := process.Config[config]()
			switch {
			case test.refusal == "" && err != nil:
				t.Error(err)
			case test.refusal != "" && (!errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), test.refusal)):
				t.Errorf("got %v, want a usage error that names %s", err, test.refusal)
			}
		})
	}
}
