package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
	"example.com/shop/platform/web"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

// settings are seam's own settings. The system's processes inherit the environment, and so theirs.
type settings struct {
	// Where the system listens on the loopback.
	Port int `env:"PORT" envDefault:"8080" min:"0"`
	// The modules that run as processes of their own, separated by commas, or all.
	Split []string `env:"SPLIT"`
	// The module that also runs as a process of its own, with weight 0, for a canary by hand.
	Canary string `env:"CANARY"`
	// own gives each module that is split off a database of its own, on a second server.
	Databases string `env:"DATABASES"`
	// An admin connection, as in postgres://user:password@host/shop; seam up can do without.
	DatabaseURL string `env:"DATABASE_URL"`
	// The same for the system of seam up -- COMMAND, which leaves DATABASE_URL alone.
	SeamDatabaseURL string `env:"SEAM_DATABASE_URL"`
	// A prefix of the roles' names, if the server has other roles of these names.
	RolePrefix string `env:"SEAM_ROLE_PREFIX"`
	// What the roles' passwords are derived from in seam setup; seam up and seam env create their own.
	RoleSecret string `env:"SEAM_ROLE_SECRET"`
	// How many connections each of the modules' roles may have; 0 is half of the server's.
	RoleConnections int `env:"SEAM_ROLE_CONNECTIONS" envDefault:"0" min:"0"`
	// A PgBouncer before PostgreSQL: a program, or an image.
	Pooler string `env:"SEAM_POOLER"`
	// The folder of PostgreSQL's data and the signing key.
	State string `env:"SEAM_STATE"`
	// The façade's routes file, as for the gateway.
	Routes string `env:"GATEWAY_ROUTES" envDefault:"deploy/routes.yaml"`
	// The OPS_ADDR of each running façade, as URLs separated by commas.
	GatewayOps []string `env:"GATEWAY_OPS_URL" envDefault:"http://127.0.0.1:8081"`
	// The address of the system's routes, for seam erase.
	URL web.BaseURL `env:"SEAM_URL" envDefault:"http://127.0.0.1:8080"`
	// A token of the staff, for seam erase.
	Token string `env:"SEAM_TOKEN"`
	// The façades' secret, with which they take other routes.
	GatewaySecret string `env:"GATEWAY_SECRET"`
}

func readSettings() (settings, error) {
	s, err := process.Config[settings]()
	if err != nil {
		return s, err
	}
	if s.State == "" {
		s.State = topology.DefaultState()
		if s.Databases == "own" { // its data is in other databases than that of the system without
			s.State = filepath.Join(s.State, "own")
		}
	}
	if strings.ContainsAny(s.State, "\r\n") {
		return s, process.Usage(fmt.Errorf("%q has an end of line in it, which PostgreSQL refuses: "+
			"set SEAM_STATE to another folder", s.State))
	}
	if info, err := os.Stat(s.State); err == nil && !info.IsDir() || errors.Is(err, syscall.ENOTDIR) {
		return s, process.Usage(fmt.Errorf("%s is no folder: set SEAM_STATE to one", s.State))
	}
	return s, nil
}

func (s settings) split() []string {
	if len(s.Split) == 1 && s.Split[0] == "all" {
		return topology.Modules
	}
	return s.Split
}

const aboutUp = `seam up starts PostgreSQL (unless DATABASE_URL names one), the program sandbox with the external systems, simulated,
and the system. SPLIT=MODULE runs the module as a process of its own behind a façade, SPLIT=all each one. CANARY=MODULE
runs it beside a monolith that still serves it, as for seam route set MODULE monolith=90 MODULE=10. DATABASES=own gives
each module that is split off a database of its own, on a second server. Data is kept between runs. Settings: PORT (8080),
SPLIT, CANARY, DATABASES, DATABASE_URL, SEAM_POOLER (a PgBouncer, program or image), SEAM_ROLE_PREFIX,
SEAM_STATE, and those in the modules' READMEs.

After seam module rename OLD NEW or remove NAME, the data follows once, by --renamed OLD=NEW or --removed NAME, as for seam setup.

seam up -- COMMAND [ARG…] runs the command beside a system on a free port that ends with it, with data of its own, on the
server of SEAM_DATABASE_URL (an admin connection) if that is set. The command gets SEAM_URL, SEAM_KEY (the file of the
signing key), SEAM_STATE, SEAM_DATABASE_URL, and the settings that lead to the external systems.`

func up(ctx context.Context, args []string) error {
	before, command, around := args, []string(nil), false
	if i := slices.Index(args, "--"); i >= 0 {
		before, command, around = args[:i], args[i+1:], true
	}
	set := flag.NewFlagSet("up", flag.ContinueOnError)
	changes := changesFlags(set)
	if err := flags.ParseOnly(set, aboutUp, before); err != nil {
		return err
	}
	if around && changes.Any() {
		return process.Usage(errors.New("a system beside a command has no data yet: leave out --renamed and --removed"))
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	bin, err := os.Executable()
	if err != nil {
		return err
	}
	if s.Databases != "" && s.Databases != "own" {
		return process.Usage(fmt.Errorf("DATABASES is %q: it is own, or empty", s.Databases))
	}
	o := topology.Options{
		Bin: filepath.Dir(bin), Split: s.split(), Canary: s.Canary, Apart: s.Databases == "own",
		RolePrefix: s.RolePrefix, Pooler: s.Pooler, Changes: *changes,
	}
	if around {
		o.DatabaseURL = s.SeamDatabaseURL
		return upAround(ctx, o, command)
	}
	o.DatabaseURL, o.State, o.Port, o.Out = s.DatabaseURL, s.State, s.Port, os.Stdout
	system, err := topology.Start(ctx, o)
	if err != nil {
		return err
	}
	operate, err := writeOperate(system)
	if err != nil {
		return errors.Join(err, system.Stop())
	}
	greet(system, operate)
	died := system.Wait(ctx)
	fmt.Println("\nStopping …")
	return errors.Join(died, system.Stop())
}

// upAround runs the command beside a system, whose log it keeps if either fails.
func upAround(ctx context.Context, o topology.Options, command []string) (err error) {
	if len(command) == 0 {
		return process.Usage(errors.New("name the command to run, as in: seam up -- go test ./test/acceptance"))
	}
	log, err := os.CreateTemp("", "seam-up-*.log")
	if err != nil {
		return err
	}
	defer func() {
		_ = log.Close() // the system has ended
		if err == nil || errors.Is(err, process.ErrUsage) {
			_ = os.Remove(log.Name())
			return
		}
		err = fmt.Errorf("%w; the system's log is %s", err, log.Name())
	}()
	o.Out = log
	system, err := topology.Start(ctx, o)
	if err != nil {
		return err
	}
	running, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() { end(system.Wait(running)) }()
	err = runCommand(running, command, append(system.Outside.Settings,
		"SEAM_URL="+system.URL, "SEAM_INTERNAL_URL="+system.InternalURL, "SEAM_KEY="+system.KeyFile(), "SEAM_STATE="+system.State(),
		"SEAM_DATABASE_URL="+system.AdminURL)...)
	if died := context.Cause(running); died != nil && ctx.Err() == nil {
		err = died
	}
	return errors.Join(err, system.Stop())
}

// writeOperate writes the settings of seam route, events, move and erase, with passwords, to a
// shell file.
func writeOperate(system *topology.System) (path string, err error) {
	state, err := filepath.Abs(system.State())
	if err != nil {
		return "", err
	}
	env := append(system.Addresses(), "SEAM_STATE="+state, "DATABASE_URL="+system.AdminURL, "SEAM_ROLE_PREFIX="+system.Plan.Prefix, "SEAM_URL="+system.URL)
	for _, p := range system.Processes() {
		if p.Name == "gateway" {
			env = append(env, "GATEWAY_ROUTES="+system.Routes, "GATEWAY_OPS_URL="+p.OpsURL, "GATEWAY_SECRET="+system.Secret)
		}
	}
	var text strings.Builder
	for _, setting := range env {
		name, value, _ := strings.Cut(setting, "=")
		fmt.Fprintf(&text, "export %s=%s\n", name, quoted(value))
	}
	path = filepath.Join(state, "operate.env")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// quoted returns the text as one word for a shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// docs returns the address of each module's documentation.
func docs(url string) string {
	pages := make([]string, len(topology.Modules))
	for i, m := range topology.Modules {
		pages[i] = url + "/v1/" + m + "/docs/"
	}
	return strings.Join(pages, "\n            ")
}

// pages lists the pages of the external systems: what leads to one is called NAME_PAGE.
func pages(outside topology.Outside) string {
	var list strings.Builder
	for _, setting := range outside.Settings {
		name, address, _ := strings.Cut(setting, "=")
		if name, ok := strings.CutSuffix(name, "_PAGE"); ok {
			fmt.Fprintf(&list, "  %-9s %s\n", strings.ToLower(name), address)
		}
	}
	return list.String()
}

func greet(system *topology.System, operate string) {
	fmt.Println("\nWho serves what:")
	for _, p := range system.Processes() {
		fmt.Printf("  %-14s %s  %s\n", p.Name, p.URL, strings.Join(p.Serves, " "))
	}
	customer := system.Key.Mint(tokens.Claims{Role: "customer", Subject: "ada", TTL: tokenLife})
	where := ""
	if usual, err := filepath.Abs(topology.DefaultState()); err != nil || filepath.Dir(operate) != usual { // another shell may not have it
		where = "SEAM_STATE=" + quoted(filepath.Dir(operate)) + " "
	}
	try := strings.NewReplacer("URL", system.URL, "TOKEN", customer, "SEAM", where+"bin/seam").Replace(architecture.Try)
	operations := "bin/seam events lag"
	if slices.ContainsFunc(system.Processes(), func(p *topology.Process) bool { return p.Name == "gateway" }) {
		operations += "; bin/seam route show"
	}
	fmt.Printf(`
The system is ready.
  system    %[1]s
  internal  %[8]s for services alone, which the address above does not serve
  docs      %[2]s
%[3]s  database  psql %[4]s
  data      %[5]s

%[6]s
Operate it, in another shell (seam route needs a façade, as with SPLIT or CANARY):
  . %[7]s
  %[9]s

Ctrl-C stops everything; data is kept.

`, system.URL, docs(system.URL), pages(system.Outside), quoted(system.AdminURL), system.State(), try, quoted(operate), system.InternalURL, operations)
}
