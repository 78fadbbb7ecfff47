package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// Selection says which modules this process serves: an extraction is a matter of configuration.
type Selection struct {
	Modules []string `env:"MODULES" envDefault:"all"`
}

// served returns the modules that the process serves.
func (s Selection) served() []string {
	if len(s.Modules) == 1 && s.Modules[0] == "all" {
		return modules
	}
	return s.Modules
}

func (s Selection) serves(module string) bool { return slices.Contains(s.served(), module) }

// Validate refuses unknown modules, duplicates and an empty list.
func (s Selection) Validate() error {
	served := s.served()
	for i, m := range served {
		if !slices.Contains(modules, m) {
			return fmt.Errorf("MODULES names %q; there are %s", m, strings.Join(modules, ", "))
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

// url returns a module's setting <MODULE>_DATABASE_URL, on its role <module>_rt, or
// <MODULE>_MIGRATE_URL, on <module>_migrate.
func url(module, what string) string { return process.Value(setting(module, what)) }

func setting(module, what string) string { return strings.ToUpper(module) + "_" + what }

// require returns an error that names the settings which served modules lack.
func (s Selection) require(what string) error {
	var unset []string
	for _, m := range s.served() {
		if url(m, what) == "" {
			unset = append(unset, setting(m, what))
		}
	}
	if len(unset) > 0 {
		return fmt.Errorf("not set: %s", strings.Join(unset, ", "))
	}
	return nil
}

// Validate refuses a process that could not reach its modules' data or the other modules.
func (c config) Validate() error {
	switch {
	case c.Bus != events.Memory && c.Bus != natsbus.Name:
		return fmt.Errorf("BUS must be %s or %s", events.Memory, natsbus.Name)
	case c.Bus == events.Memory && len(c.served()) < len(modules):
		return errors.New("BUS=memory reaches only this process: set BUS=nats, or leave MODULES at all of them")
	case c.serves("orders") && !c.serves("inventory") && c.Client.Token == "":
		return errors.New("SERVICE_TOKEN is not set: inventory, in another process, quotes no prices without it")
	}
	return c.require("DATABASE_URL")
}

// migrateConfig is all settings of the verb migrate, beside a MIGRATE_URL of each module.
type migrateConfig struct {
	Selection
}

// Validate refuses a migration that could not begin.
func (c migrateConfig) Validate() error { return c.require("MIGRATE_URL") }

// printModules prints the modules that are linked, one a line: what starts processes asks for them.
func printModules(context.Context, []string) error {
	for _, m := range modules {
		fmt.Println(m)
	}
	return nil
}
