package inventory

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	inventorymigrations "example.com/shop/migrations/inventory"
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
	server *httptest.Server
	key    *tokens.Key

	mu    sync.Mutex
	heard []events.Event // what those who listen to inventory were told
}

func setup(t *testing.T) *shop {
	t.Helper()
	ctx := t.Context()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	db := pgtest.New(t, pgtest.Schema{Module: "inventory", Migrations: inventorymigrations.FS})
	s := &shop{t: t, pool: db.Pool(t, "inventory")}
	if _, err := s.pool.Exec(ctx, inventorymigrations.Seed); err != nil {
		t.Fatalf("seed: %v", err)
	}

	// One attempt, so that an event which fails is a dead letter at once.
	cfg := events.Config{RelayBatch: 100, ConsumerBatch: 10, Poll: 20 * time.Millisecond, MaxAttempts: 1,
		RetryBase: time.Millisecond, RetryMax: time.Millisecond, OutboxRetention: time.Hour, InboxRetention: time.Hour}
	bus := events.NewMemoryBus()
	t.Cleanup(func() {
		if err := bus.Close(); err != nil {
			t.Error(err)
		}
	})
	outbox := events.NewOutbox(s.pool, bus, cfg, log)
	s.module = New(Config{KeyRetention: time.Hour}, s.pool, outbox, log, time.Now)
	listeners := []events.Handler{events.On(hear[inventoryapi.Reserved](s)), events.On(hear[inventoryapi.Rejected](s))}
	consumer := events.NewConsumer(s.pool, bus, append(s.module.Handlers(), listeners...), cfg, log, s.module.Wake)
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
		s.settle()
	}
}

// settle waits until every event, and every event that followed from it, was handled by all who listen.
func (s *shop) settle() {
	s.t.Helper()
	s.module.Wake()
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
	row, err := s.module.queries.GetProduct(s.t.Context(), sku)
	if err != nil {
		s.t.Fatal(err)
	}
	return [3]int64{row.OnHand, row.Reserved, row.Shipped}
}

func placed(order string, lines ...ordersapi.Line) ordersapi.Placed {
	return ordersapi.Placed{OrderID: order, CustomerID: "ada", Email: "ada@example.com", Lines: lines, Version: 1}
}

func TestSaga(t *testing.T) {
	t.Parallel()
	const order = "0199a0c1-7f00-7000-8000-000000000001"
	var (
		twoOfTea  = placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 2})
		confirmed = ordersapi.Confirmed{OrderID: order, Version: 3}
		cancelled = ordersapi.Cancelled{OrderID: order, Reason: "customer", Version: 3}
		reserved  = []events.Event{inventoryapi.Reserved{OrderID: order, Version: 1}}
		rejected  = []events.Event{inventoryapi.Rejected{OrderID: order, Reason: "out_of_stock", Version: 1}}
	)
	for name, test := range map[string]struct {
		told   []events.Event
		heard  []events.Event
		status string
		tea    [3]int64 // of tea-assam: on hand, reserved, shipped
	}{
		"reserves": {
			told: []events.Event{twoOfTea}, heard: reserved, status: "reserved", tea: [3]int64{998, 2, 0},
		},
		"adds up lines of one sku": {
			told: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 600}, ordersapi.Line{SKU: "cup-celadon", Quantity: 1},
				ordersapi.Line{SKU: "tea-assam", Quantity: 600})},
			heard: rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"takes the last piece": {
			told:  []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1000})},
			heard: reserved, status: "reserved", tea: [3]int64{0, 1000, 0},
		},
		"reserves all or nothing": {
			told:  []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1}, ordersapi.Line{SKU: "tea-gyokuro", Quantity: 4})},
			heard: rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"rejects an unknown sku": {
			told:  []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1}, ordersapi.Line{SKU: "no-such-tea", Quantity: 1})},
			heard: rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"reserves once": {
			told: []events.Event{twoOfTea, twoOfTea}, heard: reserved, status: "reserved", tea: [3]int64{998, 2, 0},
		},
		"ships once": {
			told: []events.Event{twoOfTea, confirmed, confirmed}, heard: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
		},
		"releases once": {
			told: []events.Event{twoOfTea, cancelled, cancelled}, heard: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"leaves a tombstone": {
			told: []events.Event{cancelled, twoOfTea}, status: "cancelled", tea: [3]int64{1000, 0, 0},
		},
		"does not reserve again what was released": {
			told: []events.Event{twoOfTea, cancelled, twoOfTea}, heard: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"does not take back what was shipped": {
			told: []events.Event{twoOfTea, confirmed, cancelled}, heard: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
		},
		"does not ship what was released": {
			told: []events.Event{twoOfTea, cancelled, confirmed}, heard: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"keeps a rejection when the order is cancelled for it": {
			told:  []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1001}), cancelled},
			heard: rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.tell(test.told...)
			if diff := cmp.Diff(test.heard, s.heard); diff != "" {
				t.Errorf("heard:\n%s", diff)
			}
			if got := s.stock("tea-assam"); got != test.tea {
				t.Errorf("on hand, reserved, shipped: %v, want %v", got, test.tea)
			}
			if n := s.count("SELECT count(*) FROM reservations WHERE order_id = $1 AND status = $2", order, test.status); n != 1 {
				t.Errorf("the reservation is not %s", test.status)
			}
			if n := s.count("SELECT count(*) FROM failed"); n != 0 {
				t.Errorf("%d events failed", n)
			}
		})
	}
}

func TestReplayChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.NewString()
	s.tell(placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 2}), ordersapi.Confirmed{OrderID: order, Version: 3})

	if n, err := events.Replay(t.Context(), s.pool, time.Time{}); err != nil || n != 3 {
		t.Fatalf("replayed %d events, error %v; want 3", n, err)
	}
	s.settle()
	if got, want := s.stock("tea-assam"), [3]int64{998, 0, 2}; got != want {
		t.Errorf("on hand, reserved, shipped: %v, want %v", got, want)
	}
	if len(s.heard) != 1 {
		t.Errorf("heard %v, want one event", s.heard)
	}
}

func TestMalformedOrderIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := setup(t)
	good := uuid.NewString()
	s.tell(
		placed("no uuid", ordersapi.Line{SKU: "tea-assam", Quantity: 1}),
		placed(uuid.NewString()),
		placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: -1}),
		placed(good, ordersapi.Line{SKU: "tea-assam", Quantity: 1}),
	)
	if diff := cmp.Diff([]events.Event{inventoryapi.Reserved{OrderID: good, Version: 1}}, s.heard); diff != "" {
		t.Error(diff)
	}
	if n := s.count("SELECT count(*) FROM failed"); n != 3 {
		t.Errorf("%d events failed, want 3", n)
	}
}
