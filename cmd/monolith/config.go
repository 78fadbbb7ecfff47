package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// calls are the calls between modules over HTTP when they are in two processes, each with a token.
var calls = [][2]string{
	{"orders", "inventory"},
}

// Validate refuses a process that could not reach the other modules.
func (c config) Validate() error {
	switch {
	case c.Bus != events.Memory && c.Bus != natsbus.Name:
		return fmt.Errorf("BUS must be %s or %s", events.Memory, natsbus.Name)
	case c.Bus == events.Memory && len(c.served()) < len(schemas):
		return errors.New("BUS=memory reaches only this process: set BUS=nats, or leave MODULES at all of them")
	}
	for _, call := range calls {
		if c.serves(call[0]) && !c.serves(call[1]) && c.Client.Token == "" {
			return fmt.Errorf("SERVICE_TOKEN is not set: %s, in another process, does not answer %s without it", call[1], call[0])
		}
	}
	return nil
}

// Selection says which modules this process serves: an extraction is a matter of configuration.
type Selection struct {
	Modules []string `env:"MODULES" envDefault:"all"`
}

func served() ([]string, error) {
	s, err := process.Config[Selection]()
	return s.served(), err
}

func (s Selection) served() []string {
	if len(s.Modules) == 1 && s.Modules[0] == "all" {
		return slices.Sorted(maps.Keys(schemas))
	}
	return s.Modules
}

func (s Selection) serves(module string) bool { return slices.Contains(s.served(), module) }

// Validate refuses unknown modules, duplicates and an empty list.
func (s Selection) Validate() error {
	served := s.served()
	for i, m := range served {
		if schemas[m] == nil {
			return fmt.Errorf("MODULES names %q; there are %s", m, strings.Join(slices.Sorted(maps.Keys(schemas)), ", "))
		}
		if slices.Contains(served[:i], m) {
			return fmt.Errorf("MODULES names %s twice", m)
		}
	}
	if len(served) == 0 {
		return errors.New("MODULES is empty: name what this process serves, or all")
	}
	return nil
}
