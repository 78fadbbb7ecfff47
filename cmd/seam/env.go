package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
	"example.com/shop/topology"
)

const aboutEnv = `seam env makes the keys and passwords that the compose files ask for. With --write deploy/.env they
go to that file, which only its owner can read; its other lines stay. Compose reads it by itself, and a shell with:
  set -a; . deploy/.env; set +a
They are made once and kept in SEAM_STATE, so that a database made with them still opens; only the token is new each
time, and good for 30 days. seam token prints tokens for a shop that runs with them. The signing key itself stays here.`

func makeEnv(_ context.Context, args []string) error {
	set := flag.NewFlagSet("env", flag.ContinueOnError)
	path := set.String("write", "", "the file to write instead of printing")
	if err := parseOnly(set, aboutEnv, args); err != nil {
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
	roles, err := topology.Password(s.State, "password")
	if err != nil {
		return err
	}
	admin, err := topology.Password(s.State, "admin-password")
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, setting := range [][2]string{
		{"AUTH_PUBLIC_KEY", key.PublicLine()}, {"SERVICE_TOKEN", topology.ServiceToken(key)},
		{"POSTGRES_PASSWORD", admin}, {"SEAM_ROLE_PASSWORD", roles},
	} {
		line, err := envLine(setting[0], setting[1])
		if err != nil {
			return err
		}
		text.WriteString(line)
	}
	if *path == "" {
		_, err = fmt.Print(text.String())
		return err
	}
	return writeEnv(*path, text.String())
}

// plain is what means itself to a shell and to both generations of Compose. They agree about
// nothing in double quotes, and about most in single ones.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./+=:@%-]+$`)

func envLine(name, value string) (string, error) {
	switch {
	case plain.MatchString(value):
		return name + "=" + value + "\n", nil
	case value == "" || strings.ContainsAny(value, "'$\\\r\n"):
		return "", process.Usage(fmt.Errorf("%s is empty, or has a quote, $, backslash or end of line, which a shell and "+
			"Compose read differently: choose another in SEAM_STATE", name))
	}
	return name + "='" + value + "'\n", nil
}

// writeEnv replaces the lines of the file that set the same names. A new file takes its place, so
// that a program that has the old one open reads nothing of it.
func writeEnv(path, text string) error {
	before, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return process.Usage(err)
	}
	ours := map[string]bool{}
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "=")
		ours[name] = true
	}
	var kept strings.Builder
	for line := range strings.Lines(string(before)) {
		if name, _, _ := strings.Cut(line, "="); !ours[name] {
			kept.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), ".env-*") // for its owner alone
	if err != nil {
		return process.Usage(err)
	}
	defer os.Remove(fresh.Name())
	_, err = fresh.WriteString(kept.String() + text)
	if err := errors.Join(err, fresh.Close()); err != nil {
		return err
	}
	return os.Rename(fresh.Name(), path)
}
