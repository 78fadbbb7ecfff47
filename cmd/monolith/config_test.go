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
	for name, test := range map[string]struct{ modules, bus, token, refusal string }{
		"all on memory":                {strings.Join(slices.Sorted(maps.Keys(schemas)), ","), "memory", "", ""},
		"all by one word":              {"all", "memory", "", ""},
		"all and one":                  {"all,orders", "memory", "", "MODULES names \"all\""},
		"no such bus":                  {"all", "kafka", "", "BUS must be memory or nats"},
		"some on nats":                 {"inventory,payments", "nats", "", ""},
		"orders apart from inventory":  {"orders,payments", "nats", "token", ""},
		"orders without a token":       {"orders,payments", "nats", "", "SERVICE_TOKEN"},
		"some on memory":               {"orders,inventory,payments", "memory", "", "BUS"},
		"one twice, and one forgotten": {"orders,inventory,payments,payments", "memory", "", "MODULES names payments twice"},
		"one that there is not":        {"orders,stock", "nats", "token", "MODULES"},
		"none":                         {",", "nats", "token", "MODULES"},
	} {
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
