package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/topology"
)

// names are what seam env sets.
var names = []string{"AUTH_PUBLIC_KEY", "SERVICE_TOKEN", "POSTGRES_PASSWORD", "SEAM_ROLE_PASSWORD"}

// writeEnvFile has seam write the settings over a file that others can read, and which has another
// setting, without an end of line.
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

// What seam env writes means the same to a shell and to Compose, also when SEAM_STATE keeps a
// password that a person has chosen.
func TestEnvIsReadAlike(t *testing.T) {
	t.Parallel()
	dir := state(t)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const chosen = `a b "c" #d = * ~`
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(chosen), 0o600); err != nil {
		t.Fatal(err)
	}
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
		command := exec.CommandContext(t.Context(), reader[0], reader[1:]...) //nolint:gosec // as above
		command.Env = []string{"PATH=" + os.Getenv("PATH")}
		printed, err := command.Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for setting, want := range map[string]string{
			"AUTH_PUBLIC_KEY": regexp.QuoteMeta(key.PublicLine()), "SERVICE_TOKEN": `ey[\w.-]+`, "POSTGRES_PASSWORD": `\w{26}`,
			"SEAM_ROLE_PASSWORD": regexp.QuoteMeta(chosen), "SEAM_TAG": "v2",
		} {
			if !regexp.MustCompile(`(?m)^ *` + setting + `(=|: )'?` + want + `'?$`).Match(printed) {
				t.Errorf("%s reads another %s than %s in:\n%s", name, setting, want, printed)
			}
		}
	}
	for _, bad := range []string{"it's", "a$b c", `a\b`, "two\nlines", ""} {
		if err := os.WriteFile(filepath.Join(dir, "password"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		said, code := run(t, []string{"SEAM_STATE=" + dir}, "seam", "env")
		if code != 2 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "SEAM_ROLE_PASSWORD") {
			t.Errorf("the password %q: exit code %d, said %q", bad, code, said)
		}
	}
}

// composeOf is a file for Compose that asks for all settings of an .env file beside it.
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

// A shop that a shell starts with these settings believes the tokens of seam token.
func TestAShopStartsFromAnEnvFile(t *testing.T) {
	t.Parallel()
	dir := state(t)
	path := writeEnvFile(t, dir)
	o := newOperator(t, topology.Modules...)
	port, err := freeport.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	monolith := exec.CommandContext(t.Context(), "sh", "-ec", `set -a; . "$1"; exec "$2" serve`, "sh", path, filepath.Join(bin, "monolith"))
	monolith.Env = append(append(os.Environ(), o.env...), "HTTP_ADDR="+address, "OPS_ADDR=127.0.0.1:0", "DRAIN_AFTER=0s")
	var said bytes.Buffer
	monolith.Stderr = &said
	if err := monolith.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- monolith.Wait() }()
	key, err := tokens.LoadOrCreate(filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/v1/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key.Mint(tokens.Claims{Role: "customer", Subject: "ada", TTL: time.Hour}))
	for {
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				t.Errorf("its token is answered with %d", response.StatusCode)
			}
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v\n%s", err, &said)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := monolith.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("%v\n%s", err, &said)
	}
}
