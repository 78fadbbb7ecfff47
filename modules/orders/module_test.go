package orders

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
)

// shop is the module between its doors: a database, a stock that quotes, a clock, and a consumer for what others tell it.
type shop struct {
	*Module
	t    *testing.T
	pool *pgxpool.Pool

	mu    sync.Mutex
	clock time.Time
}

// shelf is a stock that knows two products and costs nothing to ask.
type shelf func(skus []string) ([]inventoryapi.Quote, error)

func (s shelf) Quote(_ context.Context, skus []string) ([]inventoryapi.Quote, error) { return s(skus) }

func quotes([]string) ([]inventoryapi.Quote, error) {
	return []inventoryapi.Quote{
		{SKU: "tea", Name: "Tea", Price: inventoryapi.Money{Amount: 1299, Currency: "EUR"}},
		{SKU: "cup", Name: "Cup", Price: inventoryapi.Money{Amount: 1800, Currency: "EUR"}},
	}, nil
}

func newShop(t *testing.T) *shop {
	t.Helper()
	pool := pgtest.New(t, pgtest.Schema{Module: "orders", Migrations: ordersmigrations.FS}).Pool(t, "orders")
	log := slog.New(slog.DiscardHandler)
	cfg := events.Config{
		ConsumerBatch: 10, RelayBatch: 10, Poll: 10 * time.Millisecond, MaxAttempts: 1, OutboxRetention: time.Hour, InboxRetention: time.Hour,
	}
	bus := events.NewMemoryBus()
	s := &shop{t: t, pool: pool, clock: time.Now()}
	outbox := events.NewOutbox(pool, bus, cfg, log)
	s.Module = New(Config{Deadline: time.Minute}, pool, outbox, log, s.time, shelf(quotes))
	consumer := events.NewConsumer(pool, bus, s.Handlers(), cfg, log, s.Wake)
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, consumer.Run)
	run(t, outbox.Run) // and so stopped before the consumer
	return s
}

func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	stopped := make(chan error, 1)
	go func() { stopped <- part(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func (s *shop) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

func (s *shop) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(d)
}

// order places two teas and a cup for ada.
func (s *shop) order() uuid.UUID {
	s.t.Helper()
	key := idempotency.NewKey("ada", "POST /v1/orders", uuid.NewString(), nil)
	out, err := s.place(s.t.Context(), key, placement{
		customerID: "ada", email: "ada@example.com", paymentToken: "tok_ok",
		lines: []ordersapi.Line{{SKU: "tea", Quantity: 2}, {SKU: "cup", Quantity: 1}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return uuid.MustParse(out.Body.ID)
}

// hear delivers facts of other modules, one after the other. They travel through our own outbox, which stands for theirs.
func (s *shop) hear(facts ...events.Event) {
	s.t.Helper()
	for _, f := range facts {
		err := pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error { return events.PublishTx(s.t.Context(), tx, f) })
		if err != nil {
			s.t.Fatal(err)
		}
		s.Wake()
		s.drained()
	}
}

// drained waits until everything that was published has been handled.
func (s *shop) drained() {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		var left int
		if err := s.pool.QueryRow(s.t.Context(), "SELECT count(*) FROM outbox WHERE published_at IS NULL").Scan(&left); err != nil {
			s.t.Fatal(err)
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d events were not handled", left)
		}
	}
}

// told are the topics that were published about the order, in order.
func (s *shop) told(id uuid.UUID) []string {
	s.t.Helper()
	rows, err := s.pool.Query(s.t.Context(), "SELECT topic FROM outbox WHERE key = $1 AND topic LIKE 'orders.%' ORDER BY id", id.String())
	if err != nil {
		s.t.Fatal(err)
	}
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	return topics
}

func (s *shop) status(id uuid.UUID) string {
	s.t.Helper()
	o, err := s.find(s.t.Context(), s.pool, "ada", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o.Status + " " + o.Reason
}

func TestTheSaga(t *testing.T) {
	t.Parallel()
	reserved := func(id string) events.Event { return inventoryapi.Reserved{OrderID: id} }
	rejected := func(id string) events.Event { return inventoryapi.Rejected{OrderID: id, Reason: "out_of_stock"} }
	captured := func(id string) events.Event { return paymentsapi.Captured{OrderID: id} }
	declined := func(id string) events.Event { return paymentsapi.Declined{OrderID: id} }
	type facts []func(id string) events.Event
	for name, test := range map[string]struct {
		heard  facts
		status string
		told   []string
	}{
		"nothing is heard":               {nil, "placed ", []string{"orders.placed.v1"}},
		"reserved":                       {facts{reserved}, "awaiting_payment ", []string{"orders.placed.v1", "orders.payment_due.v1"}},
		"confirmed":                      {facts{reserved, captured}, "confirmed ", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
		"rejected":                       {facts{rejected}, "cancelled out_of_stock", []string{"orders.placed.v1", "orders.cancelled.v1"}},
		"declined":                       {facts{reserved, declined}, "cancelled declined", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.cancelled.v1"}},
		"told twice":                     {facts{reserved, reserved, captured, captured, reserved}, "confirmed ", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
		"a capture after a decline":      {facts{reserved, declined, captured}, "cancelled declined", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.cancelled.v1"}},
		"a capture that cannot be":       {facts{captured}, "placed ", []string{"orders.placed.v1"}},
		"a rejection after reservation":  {facts{reserved, rejected}, "awaiting_payment ", []string{"orders.placed.v1", "orders.payment_due.v1"}},
		"a decline after the final word": {facts{reserved, captured, declined}, "confirmed ", []string{"orders.placed.v1", "orders.payment_due.v1", "orders.confirmed.v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			id := s.order()
			for _, fact := range test.heard {
				s.hear(fact(id.String()))
			}
			if got := s.status(id); got != test.status {
				t.Errorf("status %q, want %q", got, test.status)
			}
			if diff := cmp.Diff(test.told, s.told(id)); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
			o := s.mustFind(id)
			if kept := o.PaymentToken != ""; kept == status(o.Status).final() {
				t.Errorf("%s, and the token %q", o.Status, o.PaymentToken)
			}
			var due int
			err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM outbox WHERE topic = 'orders.payment_due.v1' AND payload ->> 'payment_token' = 'tok_ok'").Scan(&due)
			if err != nil || (due == 1) != slices.Contains(test.told, "orders.payment_due.v1") {
				t.Errorf("%d payments due with the token (%v)", due, err)
			}
		})
	}
}

func TestAnOverdueOrderExpires(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	silent, reserved, confirmed := s.order(), s.order(), s.order()
	s.pass(50 * time.Second)
	s.hear(inventoryapi.Reserved{OrderID: reserved.String()}, inventoryapi.Reserved{OrderID: confirmed.String()},
		paymentsapi.Captured{OrderID: confirmed.String()})
	expire := func() {
		t.Helper()
		if _, err := s.expireOverdue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.pass(20 * time.Second)
	expire()
	if got := s.status(silent); got != "cancelled expired" {
		t.Errorf("70 s without an answer: %s", got)
	}
	if got := s.status(reserved); got != "awaiting_payment " {
		t.Errorf("20 s of waiting for payment: %s", got)
	}
	s.pass(time.Hour)
	expire()
	s.hear(paymentsapi.Captured{OrderID: reserved.String()})
	if got := s.status(reserved); got != "cancelled expired" {
		t.Errorf("an hour of waiting for payment, then a capture: %s", got)
	}
	if got := s.status(confirmed); got != "confirmed " {
		t.Errorf("a final order expired: %s", got)
	}
}

// However a cancel, an expiry and a capture race, there is one final state and one fact of it.
func TestRacesHaveOneWinner(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 20 {
		id := s.order()
		s.hear(inventoryapi.Reserved{OrderID: id.String()})
		s.pass(2 * time.Minute)
		var racers sync.WaitGroup
		racers.Go(func() { s.hear(paymentsapi.Captured{OrderID: id.String()}) })
		racers.Go(func() {
			if _, err := s.cancelOrder(t.Context(), "ada", id); err != nil && !errors.Is(err, errConfirmed) {
				t.Errorf("cancel: %v", err)
			}
		})
		racers.Go(func() {
			if _, err := s.expireOverdue(t.Context()); err != nil {
				t.Errorf("expire: %v", err)
			}
		})
		racers.Wait()
		told := s.told(id)
		if len(told) != 3 || !status(s.mustFind(id).Status).final() {
			t.Fatalf("%s, told %v", s.status(id), told)
		}
	}
}

func (s *shop) mustFind(id uuid.UUID) db.Order {
	s.t.Helper()
	o, err := s.find(s.t.Context(), s.pool, "ada", id)
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func TestARepetitionNeedsNoQuote(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	key := idempotency.NewKey("ada", "POST /v1/orders", "k", nil)
	order := placement{customerID: "ada", email: "ada@example.com", paymentToken: "tok_ok", lines: []ordersapi.Line{{SKU: "tea", Quantity: 1}}}
	first, err := s.place(t.Context(), key, order)
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("inventory is down")
	s.stock = shelf(func([]string) ([]inventoryapi.Quote, error) { return nil, down })
	again, err := s.place(t.Context(), key, order)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the answer changed (-first +again):\n%s", diff)
	}
	other := idempotency.NewKey("ada", "POST /v1/orders", "another", nil)
	if _, err := s.place(t.Context(), other, order); !errors.Is(err, down) {
		t.Errorf("a new order without a quote: %v", err)
	}
	if n := len(s.told(uuid.MustParse(first.Body.ID))); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestPlacementsThatCannotBePriced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		quotes []inventoryapi.Quote
		want   error
	}{
		"unknown sku": {nil, errUnknownSKU},
		"two currencies": {[]inventoryapi.Quote{
			{SKU: "tea", Price: inventoryapi.Money{Amount: 1, Currency: "EUR"}}, {SKU: "cup", Price: inventoryapi.Money{Amount: 1, Currency: "USD"}},
		}, errMixedCurrencies},
		"too dear": {[]inventoryapi.Quote{
			{SKU: "tea", Price: inventoryapi.Money{Amount: 1 << 62, Currency: "EUR"}}, {SKU: "cup", Price: inventoryapi.Money{Amount: 1 << 62, Currency: "EUR"}},
		}, errTotalTooLarge},
		"free": {[]inventoryapi.Quote{
			{SKU: "tea", Price: inventoryapi.Money{Amount: 0, Currency: "EUR"}}, {SKU: "cup", Price: inventoryapi.Money{Amount: 0, Currency: "EUR"}},
		}, errNothingToPay},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			s.stock = shelf(func([]string) ([]inventoryapi.Quote, error) { return test.quotes, nil })
			_, err := s.place(t.Context(), idempotency.NewKey("ada", "POST /v1/orders", "k", nil), placement{
				lines: []ordersapi.Line{{SKU: "tea", Quantity: 1}, {SKU: "cup", Quantity: 1}},
			})
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
