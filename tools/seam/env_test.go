package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// names are the settings that seam env writes.
var names = func() []string {
	all := []string{"AUTH_PUBLIC_KEY", "SERVICE_TOKEN", "POSTGRES_PASSWORD", "SEAM_ROLE_SECRET", "GATEWAY_SECRET"}
	for _, m := range topology.Modules {
		all = append(all, strings.ToUpper(m)+"_RT_PASSWORD", strings.ToUpper(m)+"_MIGRATE_PASSWORD")
	}
	for _, user := range topology.BrokerUsers() {
		all = append(all, topology.SeedSetting(user))
	}
	return all
}()

// writeEnvFile has seam write the settings to a file that others can read, and that ends with
// another setting without an end of line.
func writeEnvFile(t *testing.T, state string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), ".env")
	before := "AUTH_PUBLIC_KEY=\"old\\nkey\"\nSEAM_TAG=v2"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time changes nothing but the token
		if said, code := run(t, []string{"SEAM_STATE=" + state}, "seam", "env", "--write", path); code != 0 || said != "" {
			t.Fatalf("exit code %d, said %q", code, said)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %s (%v)", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n") != len(names)+1 || !strings.Contains(string(text), "SEAM_TAG=v2\n") {
		t.Errorf("it has (%v):\n%s", err, text)
	}
	return path
}

// Each role has the password in the file that seam setup gives it, by the secret in the same file,
// and each user of the broker the seed. The users are in a file beside it, without a secret.
func TestEnvHasPasswordsAndSeeds(t *testing.T) {
	t.Parallel()
	dir := state(t)
	path := writeEnvFile(t, dir)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	users, err := os.ReadFile(filepath.Join(filepath.Dir(path), "nats.users.conf"))
	if n := strings.Count(string(users), "nkey: U"); err != nil || n != len(topology.BrokerUsers()) {
		t.Errorf("there are %d users, %v:\n%s", n, err, users)
	}
	settings, want := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		settings[name] = value
	}
	for _, user := range topology.BrokerUsers() {
		seed, err := broker.Seed(filepath.Join(dir, topology.BrokerKeys), user)
		if want[topology.SeedSetting(user)] = seed; err != nil || strings.Contains(string(users), seed) {
			t.Errorf("the seed of %s (%v) is not where it should be:\n%s", user, err, users)
		}
	}
	plan := postgres.Plan{Secret: settings["SEAM_ROLE_SECRET"]}
	for _, m := range topology.Modules {
		want[strings.ToUpper(m)+"_RT_PASSWORD"], want[strings.ToUpper(m)+"_MIGRATE_PASSWORD"] = plan.RuntimePassword(m), plan.MigratePassword(m)
	}
	for name, value := range want {
		if settings[name] != value {
			t.Errorf("%s is %s, want %s", name, settings[name], value)
		}
	}
}

// A shell and Compose read the same from the file, also with a password that a person has chosen.
func TestEnvIsReadAlike(t *testing.T) {
	t.Parallel()
	dir := state(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const chosen = "a.b-c_D9"
	choose := func(password string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, topology.RoleSecret), []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	choose(chosen + "\n") // as an editor ends it
	path := writeEnvFile(t, dir)
	key, err := tokens.LoadOrCreate(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	readers := map[string][]string{"sh": {"sh", "-ec", `set -a; . "$1"; exec env`, "sh", path}}
	if _, err := exec.LookPath("docker-compose"); err == nil {
		readers["docker-compose"] = []string{"docker-compose", "--project-directory", filepath.Dir(path), "-f", composeOf(t), "config"}
	} else {
		t.Log("docker-compose is not installed, so sh alone reads the file")
	}
	for name, reader := range readers {
		command := exec.CommandContext(t.Context(), reader[0], reader[1:]...) //nolint:gosec // ours
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/root"}
		printed, err := command.Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for setting, want := range map[string]string{
			"AUTH_PUBLIC_KEY": regexp.QuoteMeta(key.PublicLine()), "SERVICE_TOKEN": `ey[\w.-]+`, "POSTGRES_PASSWORD": `\w{26}`,
			"SEAM_ROLE_SECRET": regexp.QuoteMeta(chosen), "GATEWAY_SECRET": `\w{26}`, "SEAM_TAG": "v2",
		} {
			if !regexp.MustCompile(`(?m)^ *` + setting + `(=|: )'?` + want + `'?$`).Match(printed) {
				t.Errorf("%s reads another %s than %s in:\n%s", name, setting, want, printed)
			}
		}
	}
	for _, bad := range []string{"ab/cd+e=", "a%zz", "a b", "a:b@c", "~root", "it's", "two\nlines", ""} {
		choose(bad)
		said, code := run(t, []string{"SEAM_STATE=" + dir}, "seam", "env")
		if code != 2 || strings.Count(said, "\n") != 1 || !strings.Contains(said, filepath.Join(dir, topology.RoleSecret)) {
			t.Errorf("the password %q: exit code %d, said %q", bad, code, said)
		}
	}
}

// seam env --write writes a regular file, and refuses anything else.
func TestEnvWritesToAFileAlone(t *testing.T) {
	t.Parallel()
	dir, folder := state(t), t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(path string) (said string, code int) {
		t.Helper()
		return run(t, []string{"SEAM_STATE=" + dir}, "seam", "env", "--write", path)
	}
	if err := errors.Join(syscall.Mkfifo(at("pipe"), 0o600), os.Symlink(os.DevNull, at("device")), os.Symlink("target", at("link"))); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		at("pipe"): "is no regular file", at("device"): "is no regular file", folder: "is a directory", "": "--write needs",
		at("no/x"): "open " + at("no/x") + ": no such file",
	} {
		if said, code := write(path); code != 2 || !strings.Contains(said, says) || strings.Count(said, "\n") != 1 {
			t.Errorf("--write %q: exit code %d, said %q; want 2 and %q", path, code, said, says)
		}
	}
	for range 2 { // at first the link leads to nothing
		if said, code := write(at("link")); code != 0 {
			t.Errorf("through a link: exit code %d, said %q", code, said)
		}
		text, err := os.ReadFile(at("target"))
		if link, _ := os.Readlink(at("link")); link != "target" || strings.Count(string(text), "\n") != len(names) {
			t.Errorf("a link leads to %q, and there is %q (%v)", link, text, err)
		}
	}
}

// seam env replaces its own lines, however they are written, and no others.
func TestEnvReplacesItsOwnLines(t *testing.T) {
	t.Parallel()
	dir, path := state(t), filepath.Join(t.TempDir(), ".env")
	for before, kept := range map[string]string{
		"export SERVICE_TOKEN=old\n  POSTGRES_PASSWORD='old'\n\texport  AUTH_PUBLIC_KEY=\"a \\\" b\" # c\n#SERVICE_TOKEN=old\nMY_SERVICE_TOKEN=x": "#SERVICE_TOKEN=old\nMY_SERVICE_TOKEN=x\n",
		"SEAM_ROLE_PASSWORD=old\nA=b\nX_RT_PASSWORD=old\nX_NATS_SEED=old\n":                                                                       "A=b\n",
		"A='two\nlines'\r\nSERVICE_TOKEN=old\r\n":                                                                                                 "A='two\nlines'\r\n",
		"AUTH_PUBLIC_KEY=\"-----BEGIN\nMCow\n-----END\"\nA=b\n":                                                                                   "",
		"A=b\nSERVICE_TOKEN='old\n'\n":                                                                                                            "",
		"SERVICE_TOKEN=old\\\nmore\n":                                                                                                             "",
	} {
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		said, code := run(t, []string{"SEAM_STATE=" + dir}, "seam", "env", "--write", path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case kept == "" && (code != 2 || string(text) != before || strings.Count(said, "\n") != 1 || !strings.Contains(said, "end on its line")):
			t.Errorf("over %q: exit code %d, said %q, and it has\n%s", before, code, said, text)
		case kept != "" && (code != 0 || !strings.HasPrefix(string(text), kept+"AUTH_PUBLIC_KEY=") || strings.Count(string(text), "old") != strings.Count(kept, "old")):
			t.Errorf("over %q: exit code %d, said %q, and it has\n%s", before, code, said, text)
		}
	}
}

// composeOf writes a Compose file that uses all settings of an .env file beside it.
func composeOf(t *testing.T) string {
	t.Helper()
	text := "version: '3'\nservices:\n  x:\n    image: x\n    environment:\n"
	for _, name := range append([]string{"SEAM_TAG"}, names...) {
		text += "      " + name + ": ${" + name + "}\n"
	}
	path := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A system that a shell starts with these settings accepts tokens of the key.
func TestASystemStartsFromAnEnvFile(t *testing.T) {
	t.Parallel()
	dir := state(t)
	path := writeEnvFile(t, dir)
	o := newOperator(t, topology.Modules...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	monolith := exec.CommandContext(ctx, "sh", "-ec", `set -a; . "$1"; exec "$2" serve`,
		"sh", path, filepath.Join(bin, "monolith"))
	monolith.Env = append(append(os.Environ(), o.env...),
		"HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "DRAIN_AFTER=0s")
	stderr, err := monolith.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := monolith.Start(); err != nil {
		t.Fatal(err)
	}
	var said, address string
	for lines := bufio.NewScanner(stderr); address == ""; said += lines.Text() + "\n" {
		if !lines.Scan() {
			t.Fatalf("it ended: %v\n%s", monolith.Wait(), said)
		}
		if found := regexp.MustCompile(`"http listening".*"addr":"([^"]+)"`).FindStringSubmatch(lines.Text()); found != nil {
			address = found[1]
		}
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	key, err := tokens.LoadOrCreate(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	checkTokens(t, "http://"+address, func(role string) string {
		return key.Mint(tokens.Claims{Role: role, Subject: "ada", TTL: time.Hour})
	})
	if err := monolith.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := monolith.Wait(); err != nil {
		t.Error(err)
	}
}
