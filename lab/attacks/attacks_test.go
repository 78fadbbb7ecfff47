// Package attacks does to a running shop of four services what somebody would who wants to harm it: a
// stranger, a customer, and a module that has been taken over. Each test also shows that the
// legitimate twin of an attack passes.
package attacks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/topology"
)

// TestMain stops the shop and removes the commands.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shop:", err)
		code = 1
	}
	os.Exit(code)
}

var stop = func() error { return nil }

// bin is the folder of the commands of the shop, once it runs, and said is what its processes
// print.
var (
	bin  string
	said = &output.Text{}
)

// started starts the shop once, as make run SPLIT=all does.
var started = sync.OnceValues(func() (*topology.System, error) {
	ctx := context.Background()
	var err error
	if bin, err = topology.Build(ctx); err != nil {
		return nil, err
	}
	stop = func() error { return os.RemoveAll(bin) }
	running, err := topology.Start(ctx, topology.Options{Bin: bin, Split: topology.Modules, Out: said})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	stop = func() error { return errors.Join(running.Stop(), os.RemoveAll(bin)) }
	return running, nil
})

// theShop returns the running shop, or skips the test in a run that is not long.
func theShop(t *testing.T) *topology.System {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("make long SUITE=attacks runs it")
	}
	s, err := started()
	if err != nil {
		t.Fatal("start the shop:", err)
	}
	return s
}

// line returns the first line of what was said that has all these parts.
func line(parts ...string) string {
	for line := range strings.Lines(said.String()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return line
		}
	}
	return ""
}

// token returns a token for the role and subject, good for an hour.
func token(s *topology.System, role, subject string) string {
	return s.Key.Mint(tokens.Claims{Role: role, Subject: subject, TTL: time.Hour})
}

// send sends a request with a token ("" for none) and returns the status and the body. Each header
// is NAME: value.
func send(t *testing.T, method, url, token, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// field returns a text of a JSON object.
func field(t *testing.T, object, name string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	text, _ := fields[name].(string)
	return text
}
