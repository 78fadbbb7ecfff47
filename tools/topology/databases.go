package topology

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Admin returns the admin connection to the database of a module.
func (s *System) Admin(module string) string {
	if slices.Contains(s.apart, module) {
		return postgres.WithDatabase(s.Second.URL(), module)
	}
	return s.AdminURL
}

// startDatabases finds or starts PostgreSQL and creates the databases, roles and schemas.
func (s *System) startDatabases(ctx context.Context) error {
	secret, err := Password(s.options.State, RoleSecret)
	if err != nil {
		return err
	}
	s.Plan = postgres.Plan{Modules: Modules, Prefix: s.options.RolePrefix, Secret: secret}
	if err := s.chooseDatabases(); err != nil {
		return err
	}
	if s.AdminURL = s.options.DatabaseURL; s.AdminURL == "" || s.startedBefore(s.AdminURL) {
		if s.Server, err = s.startServer(ctx, "postgres"); err != nil {
			return err
		}
		s.AdminURL = postgres.WithDatabase(s.Server.URL(), "shop")
	}
	if len(s.apart) > 0 {
		if s.Second, err = s.startServer(ctx, "postgres-2"); err != nil {
			return err
		}
	}
	s.say("Preparing the database …")
	admins := []string{s.AdminURL}
	for _, m := range s.apart {
		admins = append(admins, s.Admin(m))
	}
	if err := s.options.Changes.Follow(ctx, s.Plan, admins...); err != nil {
		return err
	}
	shared := s.Plan
	shared.Modules = except(s.apart)
	if err := postgres.Provision(ctx, s.AdminURL, shared); err != nil {
		return err
	}
	for _, m := range s.apart {
		own := s.Plan
		own.Modules = []string{m}
		if err := postgres.Provision(ctx, s.Admin(m), own); err != nil {
			return err
		}
	}
	if s.options.Pooler == "" {
		return nil
	}
	var logins []string
	for _, m := range Modules {
		logins = append(logins, s.Plan.RuntimeURL(s.AdminURL, m))
	}
	if s.pooler, err = pooler.Start(ctx, s.options.Pooler, logins...); err != nil {
		return err
	}
	s.closers = append(s.closers, s.pooler.Stop)
	return nil
}

// startedBefore reports whether the URL is that of our own server in an earlier run, as in a shell
// that has read operate.env: it has the password in the server's folder, which no other knows.
func (s *System) startedBefore(address string) bool {
	password, err := os.ReadFile(filepath.Join(s.options.State, "postgres", "password"))
	u, invalid := url.Parse(address)
	if err != nil || invalid != nil {
		return false
	}
	given, _ := u.User.Password()
	return given == strings.TrimSpace(string(password))
}

func (s *System) startServer(ctx context.Context, folder string) (*pgserver.Server, error) {
	s.say("Starting PostgreSQL …")
	server, err := pgserver.Start(ctx, pgserver.Options{
		DataDir: filepath.Join(s.options.State, folder), Host: s.options.Host, Durable: true, Out: s.options.Out,
	})
	if err == nil {
		s.closers = append(s.closers, func() error { return server.Stop(context.WithoutCancel(ctx)) })
	}
	return server, err
}

// chooseDatabases decides which modules have a database of their own, and refuses another choice
// than that of the run before, whose data would be left where it is.
func (s *System) chooseDatabases() error {
	if s.options.Apart {
		s.apart = slices.Sorted(slices.Values(s.options.Split))
	}
	if s.options.Apart && len(s.apart) == 0 {
		return process.Usage(errors.New("DATABASES=own is for modules that are split off: name them by SPLIT"))
	}
	if s.options.Apart && s.options.Pooler != "" {
		return process.Usage(errors.New("a pooler stands before one server: leave out SEAM_POOLER or DATABASES"))
	}
	page, now := filepath.Join(s.options.State, "databases"), strings.Join(s.apart, ",")
	before, err := os.ReadFile(page) //nolint:gosec // our own
	if _, begun := os.Stat(filepath.Join(s.options.State, "postgres")); err != nil && begun != nil {
		return os.WriteFile(page, []byte(now), 0o600) // the first run
	}
	if string(before) != now {
		return process.Usage(fmt.Errorf("in %s the modules with a database of their own are [%s], not [%s]: "+
			"set SEAM_STATE to another folder, or run it as before and move the data by seam move", s.options.State, before, now))
	}
	return nil
}
