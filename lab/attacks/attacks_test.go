// Package attacks does to a running shop of four services what somebody would who wants to harm it:
// a stranger, a customer, and a module that has been taken over. Each test also shows that the
// legitimate twin of an attack passes.
package attacks

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/shop/lab/ask"
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

// bin is the folder of the commands of the shop, once it runs.
var bin string

// shop is a running shop, with what its operators know.
type shop struct {
	*topology.System
	admin     string           // a secret of those who set it up
	broker    string           // where it listens
	here      string           // the address that our requests come from
	clients   netip.Addr       // the first of a thousand addresses of clients
	processes func() []running // at this moment
	log       func() string    // what its processes have printed
}

// running is a process.
type running struct {
	name, url string
	pid       int
	serves    []string // modules
}

// started starts the shop once, as make run SPLIT=all does, or finds the one that SEAM_PROJECT
// names.
var started = sync.OnceValues(func() (s *shop, err error) {
	ctx := context.Background()
	if bin, err = topology.Build(ctx); err != nil {
		return nil, err
	}
	stop = func() error { return os.RemoveAll(bin) }
	if project := os.Getenv("SEAM_PROJECT"); project != "" {
		return composed(ctx, project)
	}
	said := &output.Text{}
	system, err := topology.Start(ctx, topology.Options{Bin: bin, Split: topology.Modules, Out: said})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, said)
	}
	stop = func() error { return errors.Join(system.Stop(), os.RemoveAll(bin)) }
	return &shop{
		System: system, admin: system.AdminURL, broker: strings.TrimPrefix(system.Broker.URL(), "nats://"),
		here: "127.0.0.1", clients: netip.MustParseAddr("127.6.6.6"), log: said.String,
		processes: func() (all []running) {
			for _, p := range system.Processes() {
				all = append(all, running{p.Name, p.URL, p.PID(), p.Serves})
			}
			return all
		},
	}, nil
})

// theShop returns the running shop, or skips the test in a run that is not long.
func theShop(t *testing.T) *shop {
	t.Helper()
	if os.Getenv("SEAM_LONG")+os.Getenv("SEAM_PROJECT") == "" {
		t.Skip("make long SUITE=attacks runs it")
	}
	s, err := started()
	if err != nil {
		t.Fatal("start the shop:", err)
	}
	return s
}

// ourShop is theShop where the test starts processes of it.
func ourShop(t *testing.T) *shop {
	t.Helper()
	if os.Getenv("SEAM_PROJECT") != "" {
		t.Skip("it starts processes of its own, which need none of this shop")
	}
	return theShop(t)
}

// client returns the address of a client.
func (s *shop) client(n int) net.IP {
	address := s.clients.As4()
	return binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(address[:])+uint32(n)) //nolint:gosec // small
}

// line returns the first line of the log that has all these parts.
func (s *shop) line(parts ...string) string {
	for line := range strings.Lines(s.log()) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return line
		}
	}
	return ""
}

// token returns a token for the role and subject, good for an hour.
func token(s *shop, role, subject string) string {
	return s.Key.Mint(tokens.Claims{Role: role, Subject: subject, TTL: time.Hour})
}

// send sends a request with a token ("" for none) and returns the status and the body. Each header
// is NAME: value.
func send(t *testing.T, method, url, token, body string, headers ...string) (status int, answer string) {
	t.Helper()
	r := ask.Request{Method: method, URL: url, Token: token, Body: body, Header: http.Header{}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	got, err := r.Send(t.Context(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	return got.Status, string(got.Body)
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
