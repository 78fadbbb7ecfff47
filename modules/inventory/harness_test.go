package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	inventorymigrations "example.com/shop/migrations/inventory"
	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

// shop is the module with everything around it that a process gives it: a database, a bus, a web
// server; and an outbox of orders, in a schema of its own.
type shop struct {
	t      *testing.T
	module *Module
	db     *postgres.DB
	admin  string // the superuser's connection to the database
	server *httptest.Server
	key    *tokens.Key

	orders       *postgres.DB
	ordersOutbox *events.Outbox

	mu      sync.Mutex
	answers []events.Event // what inventory has published
}

// setup has no poll, so that whatever is published has to reach the relay from memory.
func setup(t *testing.T) *shop {
	t.Helper()
	return setupPolling(t, time.Second)
}

func setupPolling(t *testing.T, poll time.Duration) *shop {
	t.Helper()
	ctx := t.Context()
	onlyThePlatforms := fstest.MapFS{"0001_none.sql": {Data: []byte("-- +goose Up\nSELECT 1;")}}
	db := pgtest.New(t, pgtest.Schema{Module: "inventory", Migrations: inventorymigrations.FS},
		pgtest.Schema{Module: "orders", Migrations: onlyThePlatforms})
	// One attempt, so that an event which fails is a dead letter at once.
	cfg := events.Config{RelayBatch: 100, ConsumerBatch: 10, Poll: poll, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := atRest(t, db)
	outbox := events.NewOutbox(s.db, bus, cfg, log)
	s.module = New(Config{KeyRetention: time.Hour}, s.db, outbox, log, time.Now)
	s.admin, s.orders = db.AdminURL(), db.Module(t, "orders")
	s.ordersOutbox = events.NewOutbox(s.orders, bus, cfg, log)
	answers := []events.Handler{events.On(keep[inventoryapi.Reserved](s)), events.On(keep[inventoryapi.Rejected](s))}
	consumer := events.NewConsumer(s.db, bus, append(s.module.Handlers(), answers...), cfg, log)
	if err := consumer.Subscribe(ctx); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
	run(t, outbox.Run) // stops before the consumer, which it waits for
	run(t, s.ordersOutbox.Run)

	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	s.key = key
	verifier, err := web.NewVerifier(ctx,
		web.Auth{Issuer: tokens.Issuer, Audience: tokens.Audience, PublicKey: key.PublicPEM()})
	if err != nil {
		t.Fatal(err)
	}
	doors := web.New(web.Config{}, verifier, log, postgres.Transient)
	if err := doors.Mount("inventory", s.module.Routes); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(doors.Handler())
	t.Cleanup(s.server.Close)
	return s
}

// atRest is the module alone, with all products. Nothing runs: what it publishes stays in the
// outbox.
func atRest(t *testing.T, database *pgtest.DB) *shop {
	t.Helper()
	s := &shop{t: t, db: database.Module(t, "inventory")}
	if _, err := s.db.Exec(t.Context(), inventorymigrations.Seed); err != nil {
		t.Fatalf("seed: %v", err)
	}
	s.module = quiet(s.db)
	return s
}

// quiet is the module on the database, with an outbox that nothing relays.
func quiet(db *postgres.DB) *Module {
	log := slog.New(slog.DiscardHandler)
	return New(Config{KeyRetention: time.Hour}, db, events.NewOutbox(db, nil, events.Config{}, log), log, time.Now)
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

// keep handles what inventory publishes. What it keeps is not undone with its transaction, so it
// waits first: with its statement travels the inbox row, which fails for an event that was handled
// already.
func keep[E events.Event](s *shop) func(context.Context, pgx.Tx, E) error {
	return func(ctx context.Context, tx pgx.Tx, e E) error {
		if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.answers = append(s.answers, e)
		return nil
	}
}

// publish publishes events of orders, one after the other, and returns when all that follows from
// the last has been handled.
func (s *shop) publish(published ...events.Event) {
	s.t.Helper()
	for _, e := range published {
		s.publishTogether(e)
	}
}

// publishTogether publishes events of orders in one transaction, so that inventory gets them in one
// batch, or in two. It returns when all that follows from them has been handled.
func (s *shop) publishTogether(published ...events.Event) {
	s.t.Helper()
	err := s.orders.InTx(s.t.Context(), func(tx pgx.Tx) error {
		for _, e := range published {
			if err := s.ordersOutbox.PublishTx(s.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.settle()
}

// settle waits until every event was handled by all its handlers, orders' first and then what
// inventory published for them.
func (s *shop) settle() {
	s.t.Helper()
	deadline := time.After(20 * time.Second)
	for again := time.NewTicker(2 * time.Millisecond); ; {
		if s.pending(s.orders) == 0 && s.pending(s.db) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatal("events are still waiting")
		}
	}
}

func (s *shop) pending(db *postgres.DB) (n int64) {
	s.t.Helper()
	if err := db.QueryRow(s.t.Context(), "SELECT count(*) FROM outbox_pending").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *shop) count(query string, args ...any) (n int64) {
	s.t.Helper()
	if err := s.db.QueryRow(s.t.Context(), query, args...).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// stock is what is on hand, reserved and shipped of the sku.
func (s *shop) stock(sku string) [3]int64 {
	s.t.Helper()
	row, err := db.New(s.db).GetProduct(s.t.Context(), sku)
	if err != nil {
		s.t.Fatal(err)
	}
	return [3]int64{row.OnHand, row.Reserved, row.Shipped}
}

func placed(order string, lines ...ordersapi.Line) ordersapi.Placed {
	return ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: "ada@example.com", Lines: lines, Version: 1}
}

// deliveries are the events as a handler gets them, each caused by the request of its place:
// request-0, request-1.
func deliveries[E events.Event](delivered ...E) []events.Delivery[E] {
	batch := make([]events.Delivery[E], len(delivered))
	for i, e := range delivered {
		request := origin.Request{CorrelationID: fmt.Sprint("request-", i), Actor: "customer:ada"}
		batch[i] = events.Delivery[E]{Event: e, Cause: events.CauseOf(origin.With(context.Background(), request))}
	}
	return batch
}

// place hands the orders to the handler, as one batch in one transaction.
func (s *shop) place(ctx context.Context, batch ...ordersapi.Placed) error {
	return s.db.InTx(ctx, func(tx pgx.Tx) error { return s.module.onOrderPlaced(ctx, tx, deliveries(batch...)) })
}

// confirm is place for confirmed orders.
func (s *shop) confirm(ctx context.Context, orders ...string) error {
	batch := make([]ordersapi.Confirmed, len(orders))
	for i, order := range orders {
		batch[i] = ordersapi.Confirmed{OrderID: order, Version: 3}
	}
	return s.db.InTx(ctx, func(tx pgx.Tx) error { return s.module.onOrderConfirmed(ctx, tx, deliveries(batch...)) })
}

func (s *shop) cancel(ctx context.Context, order string) error {
	return s.db.InTx(ctx, func(tx pgx.Tx) error {
		return s.module.onOrderCancelled(ctx, tx, ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 2})
	})
}

// status of the order's reservation, or nothing.
func (s *shop) status(order string) (status string) {
	s.t.Helper()
	err := s.db.QueryRow(s.t.Context(), "SELECT coalesce((SELECT status FROM reservations WHERE order_id = $1), '')", order).Scan(&status)
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}
