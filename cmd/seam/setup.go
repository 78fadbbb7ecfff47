package main

import (
	"context"
	"errors"
	"flag"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/topology"
)

const aboutSetup = `seam setup creates what is missing of the shop's database: the database that DATABASE_URL (an admin connection) names, and for
each module a schema and its roles. SEAM_ROLE_PASSWORD is the password of all of them, SEAM_ROLE_PREFIX begins their names.
Doing it again gives the roles the password and the settings of this version, and changes nothing else. Each process's migrate verb comes next.`

// setup is the only step of a deployment that needs an admin connection.
func setup(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("setup", flag.ContinueOnError)
	if err := parseOnly(set, aboutSetup, args); err != nil {
		return err
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	if s.DatabaseURL == "" || s.RolePassword == "" {
		return process.Usage(errors.New("seam setup needs DATABASE_URL and SEAM_ROLE_PASSWORD; seam setup --help explains them"))
	}
	return postgres.Provision(ctx, s.DatabaseURL, postgres.Plan{Modules: topology.Modules, Prefix: s.RolePrefix, Password: s.RolePassword})
}

// seedConfig has a connection on the migration role: the runtime role is the module's alone.
type seedConfig struct {
	URL string `env:"INVENTORY_MIGRATE_URL,required,notEmpty"`
}

func seed(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("seed", flag.ContinueOnError)
	if err := parseOnly(set, "seam seed puts the sample products into the inventory that INVENTORY_MIGRATE_URL names. What is there already stays as it is.", args); err != nil {
		return err
	}
	cfg, err := process.Config[seedConfig]()
	if err != nil {
		return err
	}
	return topology.Seed(ctx, cfg.URL)
}
