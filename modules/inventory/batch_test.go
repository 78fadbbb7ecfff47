package inventory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Of tea-gyokuro there are three pieces. The order of the ids is the reverse of that of the
// deliveries.
func TestBatchIsJudgedInTheOrderOfDelivery(t *testing.T) {
	t.Parallel()
	const (
		first  = "0199a0c1-7f00-7000-8000-000000000003"
		second = "0199a0c1-7f00-7000-8000-000000000002"
		third  = "0199a0c1-7f00-7000-8000-000000000001"
	)
	gyokuro := func(order string, quantity int) ordersapi.Placed {
		return placed(order, ordersapi.Line{SKU: "tea-gyokuro", Quantity: quantity},
			ordersapi.Line{SKU: "tea-assam", Quantity: 1})
	}
	for name, test := range map[string]struct {
		batch  []ordersapi.Placed
		status [3]string
		stock  [3]int64 // of tea-gyokuro: on hand, reserved, shipped
	}{
		"the last piece is wanted twice": {
			batch:  []ordersapi.Placed{gyokuro(first, 3), gyokuro(second, 1)},
			status: [3]string{"reserved", "rejected", ""}, stock: [3]int64{0, 3, 0},
		},
		"one that is rejected takes nothing from the next": {
			batch:  []ordersapi.Placed{gyokuro(first, 2), gyokuro(second, 2), gyokuro(third, 1)},
			status: [3]string{"reserved", "rejected", "reserved"}, stock: [3]int64{0, 3, 0},
		},
		"one order comes twice": {
			batch:  []ordersapi.Placed{gyokuro(first, 2), gyokuro(second, 1), gyokuro(first, 2)},
			status: [3]string{"reserved", "reserved", ""}, stock: [3]int64{0, 3, 0},
		},
		"nothing is left for any": {
			batch:  []ordersapi.Placed{gyokuro(first, 4), gyokuro(second, 5)},
			status: [3]string{"rejected", "rejected", ""}, stock: [3]int64{3, 0, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			if err := s.place(t.Context(), test.batch...); err != nil {
				t.Fatal(err)
			}
			s.Settle()
			if got := [3]string{s.status(first), s.status(second), s.status(third)}; got != test.status {
				t.Errorf("reservations are %q, want %q", got, test.status)
			}
			if got := s.stock("tea-gyokuro"); got != test.stock {
				t.Errorf("on hand, reserved, shipped: %v, want %v", got, test.stock)
			}
			if n := s.Count("SELECT count(*) FROM reservations"); int64(len(s.answers)) != n {
				t.Errorf("%d answers to %d orders", len(s.answers), n)
			}
		})
	}
}

func TestAnswerKeepsTheCauseOfItsDelivery(t *testing.T) {
	t.Parallel()
	s := setup(t)
	short, covered := uuid.NewString(), uuid.NewString()
	err := s.place(t.Context(), placed(short, ordersapi.Line{SKU: "no-such-tea", Quantity: 1}),
		placed(covered, ordersapi.Line{SKU: "tea-assam", Quantity: 1}))
	if err != nil {
		t.Fatal(err)
	}
	want := []published{
		{inventoryapi.Rejected{}.Topic(), short, "request-0", "customer:ada"},
		{inventoryapi.Reserved{}.Topic(), covered, "request-1", "customer:ada"},
	}
	if diff := cmp.Diff(want, s.outbox()); diff != "" {
		t.Error(diff)
	}
}

// published is an event in the outbox.
type published struct{ Topic, Key, CorrelationID, Actor string }

// outbox is what inventory has published, in that order.
func (s *shop) outbox() []published {
	s.t.Helper()
	rows, err := s.DB.Query(s.t.Context(),
		"SELECT topic, key, headers->>'correlationid', headers->>'actor' FROM outbox ORDER BY id")
	if err != nil {
		s.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[published])
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// A statement that is only queued fails with the next one that waits, or with the commit as here:
// the handler has returned nil, the transaction's error names the statement, and the batch is
// rolled back. For an event that is handled alone it is the failure.
func TestQueuedStatementFailsWithTheCommit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	admin, err := pgx.Connect(t.Context(), s.Database.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.WithoutCancel(t.Context()))
	plant := func(what, sql string) {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatalf("plant a failure of %s: %v", what, err)
		}
	}
	orders := map[string]string{}
	for _, order := range []string{"Ship", "Release"} {
		orders[order] = uuid.NewString()
		s.Given(placed(orders[order], ordersapi.Line{SKU: "tea-assam", Quantity: 1}))
	}
	orders["Reserve"], orders["Reject"] = uuid.NewString(), uuid.NewString()
	plant("Reserve", "ALTER TABLE inventory.reservation_lines ADD CHECK (quantity <> 13)")
	plant("the others", "ALTER TABLE inventory.reservations ADD CHECK (status NOT IN ('rejected', 'shipped', 'released'))")
	before := s.stock("tea-assam")

	for statement, event := range map[string]events.Event{
		"Reserve": placed(orders["Reserve"], ordersapi.Line{SKU: "tea-assam", Quantity: 13}),
		"Reject":  placed(orders["Reject"], ordersapi.Line{SKU: "no-such-tea", Quantity: 1}),
		"Ship":    ordersapi.Confirmed{OrderID: orders["Ship"], Version: 3},
		"Release": ordersapi.Cancelled{OrderID: orders["Release"], Version: 3},
	} {
		err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
			var handled error
			switch e := event.(type) {
			case ordersapi.Placed:
				handled = s.module.onOrderPlaced(t.Context(), tx, deliveries(e))
			case ordersapi.Confirmed:
				handled = s.module.onOrderConfirmed(t.Context(), tx, deliveries(e))
			case ordersapi.Cancelled:
				handled = s.module.onOrderCancelled(t.Context(), tx, e)
			}
			if handled != nil {
				t.Errorf("%s: the handler returns %v", statement, handled)
			}
			return handled
		})
		name := "-- name: " + statement + " :exec"
		if queued, ok := errors.AsType[*postgres.QueuedError](err); !ok || !strings.HasPrefix(queued.SQL, name) {
			t.Errorf("%s: the transaction ends with %v", statement, err)
		}
		s.Publish(event)
		s.Settle()
		if n := s.Count("SELECT count(*) FROM failed WHERE reason LIKE $1", name+"%"); n != 1 {
			t.Errorf("%s: %d events failed for it, want 1", statement, n)
		}
	}
	if got := s.stock("tea-assam"); got != before {
		t.Errorf("on hand, reserved, shipped: %v, want %v", got, before)
	}
	if n := s.Count("SELECT count(*) FROM reservations"); n != 2 {
		t.Errorf("%d reservations, want 2", n)
	}
}

// trips counts what a connection sends, and the statements in it.
type trips struct{ sent, statements int }

func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.sent++
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) { c.statements++ }
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}
func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.sent++
	c.statements++
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// However many orders there are, placed waits once, for what is on hand, and confirmed for nothing;
// the commit is one round trip more.
func TestBatchCostsWhatOneOrderCosts(t *testing.T) {
	t.Parallel()
	s := atRest(t)
	counted := &trips{}
	cfg := s.DB.Config()
	cfg.ConnConfig.Tracer = counted
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s.DB = &postgres.DB{Pool: pool, Module: "inventory"}
	s.module = New(Config{KeyRetention: time.Hour}, s.DB, events.NewOutbox(s.DB, nil, events.Config{}, s.Log), s.Log, s.Now)
	for _, size := range []int{1, 50} {
		var batch []ordersapi.Placed
		var orders []string
		for i := range size {
			orders = append(orders, uuid.NewString())
			batch = append(batch, placed(orders[i], ordersapi.Line{SKU: "tea-assam", Quantity: 1},
				ordersapi.Line{SKU: "cup-celadon", Quantity: 1}))
		}
		for _, test := range []struct {
			handler string
			handle  func() error
			want    trips
		}{
			// BEGIN and OpenReservations; Reserve, the outbox and COMMIT
			{"placed", func() error { return s.place(t.Context(), batch...) }, trips{sent: 2, statements: 5}},
			// BEGIN, Ship and COMMIT
			{"confirmed", func() error { return s.confirm(t.Context(), orders...) }, trips{sent: 1, statements: 3}},
		} {
			*counted = trips{}
			if err := test.handle(); err != nil {
				t.Fatal(err)
			}
			if *counted != test.want {
				t.Errorf("%d %s: %+v, want %+v", size, test.handler, *counted, test.want)
			}
		}
	}
}
