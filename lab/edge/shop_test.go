// Package edge sends any bytes to the monolith, directly and through the façade. Both answer alike,
// with the same effect; no answer is a server error; and a retry gets the result of the request.
package edge

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/topology"
)

// shop is a running monolith behind a façade, with two doors.
type shop struct {
	direct, facade door
	database       *pgx.Conn
	log            *journal
	key            *tokens.Key
	largest        int64 // of the headers of an event that were stored so far
}

// door is one of the two addresses, with a customer of its own: both get the same requests.
type door struct {
	addr, subject, order     string
	customer, staff, service string
}

// binEnv names the folder of the built commands, also for fuzz workers, which are child processes.
const binEnv = "EDGE_BIN"

// TestMain stops the shop, and removes the commands unless they were given.
func TestMain(m *testing.M) {
	ours := os.Getenv(binEnv) == ""
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shop:", err)
		code = 1
	}
	if ours {
		os.RemoveAll(os.Getenv(binEnv))
	}
	os.Exit(code)
}

var stop = func() error { return nil }

// prepare builds the commands and starts the shop, which takes longer than a fuzzed request may.
// The coordinator of fuzz workers needs no shop; its workers find the commands by binEnv.
func prepare(f *testing.F) {
	f.Helper()
	if os.Getenv(binEnv) == "" {
		bin, err := topology.Build(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		if err := os.Setenv(binEnv, bin); err != nil {
			f.Fatal(err)
		}
	}
	if flag.Lookup("test.fuzz").Value.String() != "" && flag.Lookup("test.fuzzworker").Value.String() != "true" {
		return
	}
	if _, err := started(); err != nil {
		f.Fatal("start the shop:", err)
	}
}

// started starts the shop of this process once.
var started = sync.OnceValues(func() (*shop, error) {
	log := &journal{}
	// No order expires, and payments by tok_slow are not answered, so that orders can be cancelled.
	running, err := topology.Start(context.Background(), topology.Options{
		Bin: os.Getenv(binEnv), Facade: true, Out: log,
		Env: []string{"ORDERS_DEADLINE=24h", "PAYMENTS_SIM_SLOW=1h", "PAYMENTS_LEASE=24h", "PAYMENTS_QUIET=25h", "DRAIN_AFTER=0s"},
	})
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	stop = running.Stop
	s := &shop{log: log, key: running.Key}
	if s.database, err = pgx.Connect(context.Background(), running.AdminURL); err != nil {
		return nil, err
	}
	for _, p := range running.Processes() {
		if p.Name == "monolith" {
			// It has no internal routes, as the façade has none for those outside.
			p.Env = append(p.Env, "HTTP_INTERNAL_ADDR=")
			if err := errors.Join(p.Stop(), running.Restart(context.Background(), p)); err != nil {
				return nil, err
			}
			s.direct = newDoor(p.URL, "direct", running.Key)
		}
	}
	s.facade = newDoor(running.URL, "facade", running.Key)
	return s, nil
})

func theShop(t *testing.T) *shop {
	t.Helper()
	s, err := started()
	if err != nil {
		t.Fatal("start the shop:", err)
	}
	for _, d := range []*door{&s.direct, &s.facade} {
		if d.order == "" {
			d.order = s.placeSlowly(t, *d)
		}
	}
	return s
}

func newDoor(url, subject string, key *tokens.Key) door {
	mint := func(role string) string {
		return key.Mint(tokens.Claims{Subject: subject, Role: role, TTL: 24 * time.Hour})
	}
	return door{addr: strings.TrimPrefix(url, "http://"), subject: subject, customer: mint("customer"),
		staff: mint("staff"), service: mint("service")}
}

// sign signs any claims with the shop's key, also invalid ones.
func (s *shop) sign(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"EdDSA"}`)) + "." + encode([]byte(claims))
	return signed + "." + encode(ed25519.Sign(s.key.Private(), []byte(signed)))
}

// effect counts all that requests can change.
type effect struct{ orders, cancelled, orderKeys, stockKeys int64 }

func (e effect) minus(o effect) effect {
	return effect{e.orders - o.orders, e.cancelled - o.cancelled, e.orderKeys - o.orderKeys, e.stockKeys - o.stockKeys}
}

// maxHeaders is the most bytes that an event may keep about the request that caused it.
const maxHeaders = 2048

// effects counts the effects, and fails if an event keeps too much of a request.
func (s *shop) effects(t *testing.T) (e effect) {
	t.Helper()
	var largest int64
	err := s.database.QueryRow(t.Context(), `
		SELECT (SELECT count(*) FROM orders.orders), (SELECT count(*) FROM orders.orders WHERE reason = 'customer'),
			(SELECT count(*) FROM orders.idempotency_keys), (SELECT count(*) FROM inventory.idempotency_keys),
			(SELECT coalesce(max(octet_length(headers::text)), 0) FROM orders.outbox)`).
		Scan(&e.orders, &e.cancelled, &e.orderKeys, &e.stockKeys, &largest)
	if err != nil {
		t.Fatal(err)
	}
	if largest > max(s.largest, maxHeaders) {
		t.Errorf("an event keeps %d bytes about the request that caused it", largest)
	}
	s.largest = max(s.largest, largest)
	return e
}

// journal is the log of all processes, which is searched for panics by one test at a time.
type journal struct {
	output.Text
	seen int
}

// fault returns the first new line about a panic, "" if there is none.
func (j *journal) fault() string {
	text := j.String()
	whole := max(strings.LastIndexByte(text, '\n')+1, j.seen)
	fresh := text[j.seen:whole]
	j.seen = whole
	for line := range strings.Lines(fresh) {
		if strings.Contains(line, "panic") || strings.Contains(line, "goroutine ") {
			return line[:min(len(line), 500)]
		}
	}
	return ""
}
