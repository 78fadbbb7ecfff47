package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutSetup = `seam setup creates what DATABASE_URL (an admin connection) lacks: the database, and for each module a schema
and its roles. The password of each role is derived from SEAM_ROLE_SECRET; SEAM_ROLE_PREFIX is the roles' prefix. When it runs
again it only updates the roles' passwords and settings, so with another secret they have other passwords. Each role may
have half of the server's connections, or SEAM_ROLE_CONNECTIONS. <MODULE>_ADMIN_URL, an admin connection as well, gives a module
a database of its own, and DATABASE_URL nothing of it. It revokes what PUBLIC, which is every role of the server, may
do in the database, even CONNECT, which others who use it need to be granted; what DATABASE_URL's role may not do it prints, as
statements for one that may. With --write FILE, which only its owner can read, it also
writes each module's <MODULE>_DATABASE_URL and <MODULE>_MIGRATE_URL, for a shell. Each process's migrate verb comes next.

After seam module rename OLD NEW or remove NAME, the data follows once, while no process of the system runs, by --renamed OLD=NEW
or --removed NAME: the schema and its roles, and in the other modules what names it. A renamed module's events are published once
more, as a broker has them under the old name; others ignore those that they have handled. Then delete the broker's durables that
begin with OLD-, or have -OLD- in their names.`

// changesFlags are --renamed and --removed.
func changesFlags(set *flag.FlagSet) *topology.Changes {
	changes := &topology.Changes{Renamed: map[string]string{}}
	seen := map[string]bool{}
	each := func(names ...string) error {
		for _, name := range names {
			if name == "" {
				return errors.New("write a module's name, or OLD=NEW")
			}
			if seen[name] {
				return fmt.Errorf("%s is there twice", name)
			}
			seen[name] = true
		}
		return nil
	}
	set.Func("renamed", "`OLD=NEW`: rename the data of a module that was renamed", func(word string) error {
		old, name, _ := strings.Cut(word, "=")
		changes.Renamed[old] = name
		return each(old, name)
	})
	set.Func("removed", "`NAME`: delete the data of a module that was removed", func(name string) error {
		changes.Removed = append(changes.Removed, name)
		return each(name)
	})
	return changes
}

// setup is the only step of a deployment that needs an admin connection.
func setup(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("setup", flag.ContinueOnError)
	path := set.String("write", "", "the file to write the modules' connections to")
	changes := changesFlags(set)
	if err := flags.ParseOnly(set, aboutSetup, args); err != nil {
		return err
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	in := map[string][]string{} // the modules of each database
	for _, m := range topology.Modules {
		own, err := process.Value(strings.ToUpper(m) + "_ADMIN_URL")
		if err != nil {
			return err
		}
		admin := cmp.Or(own, s.DatabaseURL)
		in[admin] = append(in[admin], m)
	}
	if len(in[""]) > 0 || s.RoleSecret == "" {
		return process.Usage(errors.New("seam setup needs DATABASE_URL and SEAM_ROLE_SECRET; see its --help"))
	}
	plan := postgres.Plan{Prefix: s.RolePrefix, Secret: s.RoleSecret, Connections: s.RoleConnections}
	if err := changes.Follow(ctx, plan, slices.Sorted(maps.Keys(in))...); err != nil {
		return err
	}
	var text strings.Builder
	for _, admin := range slices.Sorted(maps.Keys(in)) {
		plan.Modules = in[admin]
		if err := postgres.Provision(ctx, admin, plan); err != nil {
			return err
		}
		left, err := postgres.LeftToOwner(ctx, admin, plan)
		for _, statement := range left {
			fmt.Fprintf(os.Stderr, "Not allowed to the admin's role of %s; run it as the database's owner or a superuser: %s;\n",
				strings.Join(plan.Modules, ", "), statement)
		}
		if err != nil {
			return err
		}
		for _, m := range plan.Modules {
			name := strings.ToUpper(m)
			fmt.Fprintf(&text, "%s_DATABASE_URL=%s\n%s_MIGRATE_URL=%s\n", name,
				quoted(plan.RuntimeURL(admin, m)), name, quoted(plan.MigrateURL(admin, m)))
		}
	}
	if *path == "" {
		return nil
	}
	return os.WriteFile(*path, []byte(text.String()), 0o600)
}
