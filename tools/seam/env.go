package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/routing"
	"example.com/shop/tools/topology"
)

const aboutEnv = `seam env makes the keys and passwords that the compose files ask for. With --write deploy/.env they
go to that file, which only its owner can read; its other lines stay. Compose reads it by itself, and a shell with:
  set -a; . deploy/.env; set +a
They are made once and kept in SEAM_STATE, so that a database made with them still opens; only the token is new each
time, and good for 30 days. Each role's password is derived from SEAM_ROLE_SECRET, which only seam setup needs. seam token
prints tokens for a system that runs with them. The signing key itself stays here.

<MODULE>_NATS_SEED is the module's key at the broker, SEAM_NATS_SEED that of seam events provision. With --write the file
nats.users.conf beside the other says who may do what there, for the broker to read: it has no secret. A key is changed by
seam broker users --write SEAM_STATE/broker-keys --rotate MODULE, and then seam env --write again.`

func makeEnv(_ context.Context, args []string) error {
	set := flag.NewFlagSet("env", flag.ContinueOnError)
	path := set.String("write", "", "the file to write instead of printing")
	if err := flags.ParseOnly(set, aboutEnv, args); err != nil {
		return err
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	key, err := tokens.LoadOrCreate(filepath.Join(s.State, "key.pem"))
	if err != nil {
		return err
	}
	passwords := map[string]string{}
	for _, name := range []string{"admin-password", topology.RoleSecret, topology.GatewaySecret} {
		if passwords[name], err = composePassword(s.State, name); err != nil {
			return err
		}
	}
	secret := passwords[topology.RoleSecret]
	text := fmt.Sprintf("AUTH_PUBLIC_KEY=%s\nSERVICE_TOKEN=%s\nPOSTGRES_PASSWORD=%s\nSEAM_ROLE_SECRET=%s\nGATEWAY_SECRET=%s\n",
		key.PublicLine(), topology.ServiceToken(key), passwords["admin-password"], secret, passwords[topology.GatewaySecret])
	plan := postgres.Plan{Secret: secret} // the compose files know no prefix
	for _, m := range topology.Modules {
		text += fmt.Sprintf("%[1]s_RT_PASSWORD=%[2]s\n%[1]s_MIGRATE_PASSWORD=%[3]s\n",
			strings.ToUpper(m), plan.RuntimePassword(m), plan.MigratePassword(m))
	}
	keys := filepath.Join(s.State, topology.BrokerKeys)
	seeds, err := topology.WriteBrokerUsers(keys)
	if err != nil {
		return err
	}
	for _, user := range topology.BrokerUsers() {
		text += topology.SeedSetting(user) + "=" + seeds[user] + "\n"
	}
	switch {
	case set.NFlag() == 0:
		_, err = fmt.Print(text)
		return err
	case *path == "":
		return process.Usage(errors.New("--write needs the path of a file"))
	}
	if err := writeEnv(*path, text); err != nil {
		return err
	}
	users, err := os.ReadFile(filepath.Join(keys, broker.UsersFile)) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	// In place: a container that has the file would not see another one of its name.
	return os.WriteFile(filepath.Join(filepath.Dir(*path), "nats.users.conf"), users, 0o644) //nolint:gosec // no secret
}

// plain matches text that needs no quoting in a URL, in a shell and in Compose.
var plain = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// composePassword returns a kept password, if the compose files can write it into URLs.
func composePassword(state, name string) (string, error) {
	password, err := topology.Password(state, name)
	if err == nil && !plain.MatchString(password) {
		err = process.Usage(fmt.Errorf("%s may have letters, digits, dots, hyphens and underscores alone, because "+
			"the compose files write it into URLs: choose another password", filepath.Join(state, name)))
	}
	return password, err
}

var (
	// replaced matches a line that sets what seam env sets, or what it set before each role had a
	// password of its own (SEAM_ROLE_PASSWORD), with the value.
	replaced = regexp.MustCompile(`^\s*(?:export\s+)?(AUTH_PUBLIC_KEY|SERVICE_TOKEN|POSTGRES_PASSWORD|` +
		`SEAM_ROLE_SECRET|SEAM_ROLE_PASSWORD|\w+_(?:RT|MIGRATE)_PASSWORD|\w+_NATS_SEED|GATEWAY_SECRET)\s*=(.*)`)
	// whole matches a value that ends on its line.
	whole = regexp.MustCompile(`^([^'"\\]|\\.|'[^']*'|"([^"\\]|\\.)*")*$`)
)

// writeEnv replaces the lines of the file that set the same names. It writes a new file, so that a
// program that has the old one open cannot read the new text.
func writeEnv(path, text string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600) //nolint:gosec // operator's file
	if err != nil {
		return process.Usage(err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return process.Usage(errors.Join(err, fmt.Errorf("%s is no regular file: name one, or a new one", path)))
	}
	before, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	var kept strings.Builder
	for line := range strings.Lines(string(before)) {
		switch found := replaced.FindStringSubmatch(line); {
		case found == nil:
			kept.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		case !whole.MatchString(found[2]):
			return process.Usage(fmt.Errorf("%s: the value of %s does not end on its line: remove it", path, found[1]))
		}
	}
	path, err = filepath.EvalSymlinks(path) // a link stays one
	if err = errors.Join(err, file.Chmod(0o600)); err != nil {
		return process.Usage(err)
	}
	return routing.Replace(path, path, []byte(kept.String()+text))
}
