package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
	"example.com/shop/platform/web"
)

// open returns a process without modules. Telemetry is the process's, so the tests are not
// parallel.
func open(ctx context.Context, t *testing.T, change func(*Config)) *host {
	t.Helper()
	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		MaxConns: 2, OpsAddr: freeAddr(t), StopGrace: 10 * time.Second, Log: process.Log{Level: slog.LevelError},
		Web: web.Config{Addr: freeAddr(t), Auth: web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()}},
	}
	change(&cfg)
	bus := events.NewMemoryBus()
	s, err := openHost(ctx, "test", map[string]Bus{"teller": bus, "parcels": bus}, cfg.Log.Install("test"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// status sends a request on a new connection; 0 means that none could be made.
func status(t *testing.T, addr, path string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// A load balancer sees by /readyz, and not by a refused request, that the process is about to stop.
func TestRequestsAreServedWhileItLingers(t *testing.T) {
	ctx, signal := context.WithCancel(t.Context())
	defer signal()
	s := open(ctx, t, func(c *Config) { c.DrainAfter = time.Second })
	defer s.close()
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); status(t, s.cfg.OpsAddr, "/readyz") != http.StatusOK; {
		if time.Now().After(deadline) {
			t.Fatal("it is never ready")
		}
	}
	signal()
	if got := status(t, s.cfg.OpsAddr, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("it says that it is ready: %d", got)
	}
	if got := status(t, s.cfg.Web.Addr, "/v1/nothing"); got != http.StatusNotFound {
		t.Errorf("a request that came meanwhile: %d", got)
	}
	kept, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://"+s.cfg.Web.Addr+"/v1/nothing", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(kept); err != nil || response.Body.Close() != nil || !response.Close {
		t.Errorf("a kept connection is not asked to close: %v, %v", response, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := status(t, s.cfg.Web.Addr, "/v1/nothing"); got != 0 {
		t.Errorf("it still serves: %d", got)
	}
}

// closing is a bus that reports that it is closed.
type closing struct {
	Bus
	report func()
}

func (c closing) Close() error { c.report(); return c.Bus.Close() }

// A connection that is not released does not keep the process, and the bus still has the pools.
func TestCloseEndsBusThenPools(t *testing.T) {
	migrations := fstest.MapFS{"0001_nothing.sql": &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	db := pgtest.New(t, pgtest.Schema{Module: "teller", Migrations: migrations})
	s := open(t.Context(), t, func(*Config) {})
	s.serves = []string{"teller"}
	pool, err := s.database(t.Context(), "teller", db.URL("teller"), migrations)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := pool.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Release()
	var order []string
	flush := s.flush
	s.buses["teller"] = closing{s.buses["teller"], func() { order = append(order, fmt.Sprintf("bus, pool %v", pool.Pool().Ping(t.Context()))) }}
	s.flush = func() { order = append(order, fmt.Sprintf("spans, pool %v", pool.Pool().Ping(t.Context()))); flush() }
	began := time.Now()
	s.close()
	if took := time.Since(began); took > 3*closeLimit {
		t.Errorf("it took %s", took)
	}
	if got := strings.Join(order, "; "); got != "bus, pool <nil>; spans, pool closed pool" {
		t.Errorf("the order is %s", got)
	}
}

// A process whose schema is on another bus by now serves on, and says that it must be restarted; a
// process that starts is refused.
func TestASchemaLeavesTheBus(t *testing.T) {
	migrations := fstest.MapFS{"0001_nothing.sql": &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	db := pgtest.New(t, pgtest.Schema{Module: "teller", Migrations: migrations})
	ctx, signal := context.WithCancel(t.Context())
	defer signal()
	s := open(ctx, t, func(*Config) {})
	defer s.close()
	s.serves = []string{"teller"}
	pool, err := s.database(t.Context(), "teller", db.URL("teller"), migrations)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	page := func() string {
		recorder := httptest.NewRecorder()
		s.operations.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz/teller", nil))
		return fmt.Sprint(recorder.Code, " ", recorder.Body)
	}
	pgtest.Until(t, "it is ready", func() bool { return page() == "200 ok\n" })
	for _, step := range []struct{ bus, page string }{
		{"nats", "200 ok, but teller: its schema is on the bus nats by now, and this process on memory: restart it\n"},
		{"memory", "200 ok\n"},
	} {
		if err := events.SwitchBus(t.Context(), pool.Pool(), step.bus); err != nil {
			t.Fatal(err)
		}
		pgtest.Until(t, "it says "+step.page, func() bool { return page() == step.page })
	}
	signal()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.serves = nil
	if _, err := s.database(t.Context(), "teller", db.URL("teller"), migrations); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "does not serve teller") {
		t.Errorf("a process that does not serve it, in memory: %v", err)
	}
}

func TestConfig(t *testing.T) {
	if _, err := process.Config[Config](); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for setting, value := range map[string]string{
		"DRAIN_AFTER": "25s", "DATABASE_MAX_CONNS": "0", "HTTP_MAX_BODY_BYTES": "-1", "HTTP_MAX_HEADER_BYTES": "0",
		"HTTP_READ_TIMEOUT": "0s", "HTTP_HANDLER_TIMEOUT": "-5s", "HTTP_WRITE_TIMEOUT": "1s", "LOG_LEVEL": "warning",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Setenv(setting, value)
			prefix, _, _ := strings.Cut(setting, "_")
			_, err := process.Config[Config]()
			if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), prefix+"_") || strings.Contains(err.Error(), "number") {
				t.Errorf("%s=%s: got %v, want a usage error that names it", setting, value, err)
			}
		})
	}
}
