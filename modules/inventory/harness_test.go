package inventory

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

// shop is the module with everything around it that a process gives it: a database, a bus, a web server. The outbox that
// its own events leave through also plays the part of orders' outbox.
type shop struct {
	t      *testing.T
	module *Module
	pool   *pgxpool.Pool
	admin  string // the superuser's connection to the database
	server *httptest.Server
	key    *tokens.Key

	mu    sync.Mutex
	heard []events.Event // what those who listen to inventory were told
}

// setup has no poll, so that whatever is published has to wake the relay.
func setup(t *testing.T) *shop {
	t.Helper()
	return setupPolling(t, time.Hour)
}

func setupPolling(t *testing.T, poll time.Duration) *shop {
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	db := pgtest.New(t, pgtest.Schema{Module: "inventory", Migrations: inventorymigrations.FS})
	s := &shop{t: t, pool: db.Pool(t, "inventory"), admin: db.AdminURL()}
	if _, err := s.pool.Exec(ctx, inventorymigrations.Seed); err != nil {
		t.Fatalf("seed: %v", err)
	}

	// One attempt, so that an event which fails is a dead letter at once.
	cfg := events.Config{RelayBatch: 100, ConsumerBatch: 10, Poll: poll, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	outbox := events.NewOutbox(s.pool, bus, cfg, log)
	s.module = New(Config{KeyRetention: time.Hour}, s.pool, outbox, log, time.Now)
	listeners := []events.Handler{events.On(hear[inventoryapi.Reserved](s)), events.On(hear[inventoryapi.Rejected](s))}
	consumer := events.NewConsumer(s.pool, bus, append(s.module.Handlers(), listeners...), cfg, log)
	if err := consumer.Subscribe(ctx); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
	run(t, outbox.Run) // stops before the consumer, which it waits for

	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.key = key
	verifier, err := web.NewVerifier(ctx, web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	doors := web.New(web.Config{}, verifier, log)
	if err := doors.Mount("inventory", s.module.Routes); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(doors.Handler())
	t.Cleanup(s.server.Close)
	return s
}

// run runs a loop until the test ends. What was started last stops first.
func run(t *testing.T, loop func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- loop(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("loop ended: %v", err)
		}
	})
}

func hear[E events.Event](s *shop) func(context.Context, pgx.Tx, E) error {
	return func(_ context.Context, _ pgx.Tx, e E) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.heard = append(s.heard, e)
		return nil
	}
}

// tell publishes events, one after the other, and returns when all that follows from the last has been handled.
func (s *shop) tell(told ...events.Event) {
	s.t.Helper()
	for _, e := range told {
		err := pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error { return events.PublishTx(s.t.Context(), tx, e) })
		if err != nil {
			s.t.Fatal(err)
		}
		s.module.outbox.Wake()
		s.settle()
	}
}

// settle waits until every event, and every event that followed from it, was handled by all who listen.
func (s *shop) settle() {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for again := time.NewTicker(2 * time.Millisecond); ; {
		if s.count("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0 {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatal("events are still waiting")
		}
	}
}

func (s *shop) count(query string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.pool.QueryRow(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stock is what is on hand, reserved and shipped of the sku.
func (s *shop) stock(sku string) [3]int64 {
	s.t.Helper()
	row, err := db.New(s.pool).GetProduct(s.t.Context(), sku)
	if err != nil {
		s.t.Fatal(err)
	}
	return [3]int64{row.OnHand, row.Reserved, row.Shipped}
}

func placed(order string, lines ...ordersapi.Line) ordersapi.Placed {
	return ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: "ada@example.com", Lines: lines, Version: 1}
}
