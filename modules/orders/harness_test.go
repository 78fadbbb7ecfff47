package orders

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

// shop is the module with everything around it that a process gives it: a database, a bus, a web
// server, a stock, and a clock that stands still until the test moves it. Inventory and payments
// are no more than an outbox each, on the tables of orders.
type shop struct {
	t      *testing.T
	module *Module
	db     *pgtest.DB
	pool   *postgres.DB
	others map[string]neighbour
	server *httptest.Server
	key    *tokens.Key

	mu     sync.Mutex
	clock  time.Time
	logged strings.Builder
}

// neighbour publishes the events of another module.
type neighbour struct {
	db     *postgres.DB
	outbox *events.Outbox
}

// shelf is a stock that answers as the test wants.
type shelf func(ctx context.Context, skus []string) ([]inventoryapi.Quote, error)

func (s shelf) Quote(ctx context.Context, skus []string) ([]inventoryapi.Quote, error) {
	return s(ctx, skus)
}

// quoting is a stock with these products and no others.
func quoting(quotes ...inventoryapi.Quote) shelf {
	return func(context.Context, []string) ([]inventoryapi.Quote, error) { return quotes, nil }
}

func eur(amount int64) inventoryapi.Money { return inventoryapi.Money{Amount: amount, Currency: "EUR"} }

var teaAndCup = quoting(
	inventoryapi.Quote{SKU: "tea", Name: "Tea", Price: eur(1299)},
	inventoryapi.Quote{SKU: "cup", Name: "Cup", Price: eur(1800)})

func setup(t *testing.T) *shop {
	t.Helper()
	ctx := t.Context()
	s := &shop{t: t, clock: time.Now(), others: map[string]neighbour{}}
	log := slog.New(slog.NewTextHandler(s, nil))
	s.db = pgtest.New(t, pgtest.Schema{Module: "orders", Migrations: ordersmigrations.FS})
	s.pool = s.db.Module(t, "orders")

	// One attempt, so that an event which fails is a dead letter at once.
	cfg := events.Config{RelayBatch: 100, ConsumerBatch: 100, Poll: time.Second, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() { _ = bus.Close() })
	outbox := events.NewOutbox(s.pool, bus, cfg, log)
	s.module = New(Config{Deadline: time.Minute, ExpiryPoll: time.Hour, KeyRetention: time.Hour},
		s.pool, outbox, log, s.now, teaAndCup)
	consumer := events.NewConsumer(s.pool, bus, s.module.Handlers(), cfg, log)
	if err := consumer.Subscribe(ctx); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
	run(t, outbox.Run) // stops before the consumer, which it waits for
	for _, module := range []string{"inventory", "payments"} {
		other := &postgres.DB{Pool: s.pool.Pool, Module: module}
		s.others[module] = neighbour{other, events.NewOutbox(other, bus, cfg, log)}
		run(t, s.others[module].outbox.Run)
	}

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
	if err := doors.Mount("orders", s.module.Routes); err != nil {
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

func (s *shop) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *shop) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

// Write takes the log.
func (s *shop) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged.Write(line)
}

func (s *shop) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logged.String()
}

// happen publishes events of other modules, one after the other, and returns when the last has been
// handled.
func (s *shop) happen(facts ...events.Event) {
	s.t.Helper()
	for _, e := range facts {
		s.happenTogether(e)
	}
}

// happenTogether publishes events of one other module in one transaction, and returns when they
// have been handled.
func (s *shop) happenTogether(facts ...events.Event) {
	s.t.Helper()
	module, _, _ := strings.Cut(facts[0].Topic(), ".")
	err := s.others[module].db.InTx(s.t.Context(), func(tx pgx.Tx) error {
		for _, e := range facts {
			if err := s.others[module].outbox.PublishTx(s.t.Context(), tx, e); err != nil {
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

// settle waits until every event has been handled.
func (s *shop) settle() {
	s.t.Helper()
	s.await(0, "SELECT count(*) FROM outbox_pending")
}

// await waits until the query counts want.
func (s *shop) await(want int64, query string) {
	s.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for deadline := time.After(20 * time.Second); s.count(query) != want; {
		select {
		case <-again.C:
		case <-deadline:
			s.t.Fatalf("%s: %d, want %d", query, s.count(query), want)
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

// published are the topics that orders has published about the order, in order.
func (s *shop) published(id uuid.UUID) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(),
		"SELECT topic FROM outbox WHERE key = $1 AND topic LIKE 'orders.%' ORDER BY id", id.String())
	if err != nil {
		s.t.Fatal(err)
	}
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return topics
}

// find is the order's row.
func (s *shop) find(id uuid.UUID) db.Order {
	s.t.Helper()
	order, err := s.module.find(s.t.Context(), s.pool, "ada", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return order
}

// status is where the order stands, and the reason if there is one.
func (s *shop) status(id uuid.UUID) string {
	s.t.Helper()
	order := s.find(id)
	return strings.TrimSpace(order.Status + " " + order.Reason)
}

// call sends a request, as the customer or without a token, and returns status, headers and body.
func (s *shop) call(customer, method, path, body, key string) (int, http.Header, map[string]any) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method,
		s.server.URL+"/v1/orders"+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if customer != "" {
		request.Header.Set("Authorization", "Bearer "+s.key.Mint(tokens.Claims{Subject: customer, Role: "customer"}))
	}
	response, err := s.server.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		s.t.Fatalf("%v in %s", err, text)
	}
	return response.StatusCode, response.Header, answer
}
