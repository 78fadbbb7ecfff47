package main

import (
	"context"
	"errors"
	"flag"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutSetup = `seam setup creates what DATABASE_URL (an admin connection) lacks: the database, and for each module a schema
and its roles. SEAM_ROLE_PASSWORD is the roles' password, SEAM_ROLE_PREFIX their prefix. When it runs again it only updates
the roles' password and settings. Each process's migrate verb comes next.`

// setup is the only step of a deployment that needs an admin connection.
func setup(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("setup", flag.ContinueOnError)
	if err := flags.ParseOnly(set, aboutSetup, args); err != nil {
		return err
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	if s.DatabaseURL == "" || s.RolePassword == "" {
		return process.Usage(errors.New("seam setup needs DATABASE_URL and SEAM_ROLE_PASSWORD; see its --help"))
	}
	plan := postgres.Plan{Modules: topology.Modules, Prefix: s.RolePrefix, Password: s.RolePassword}
	return postgres.Provision(ctx, s.DatabaseURL, plan)
}
