package inventory

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/tracelog"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// However many orders there are, placed waits once, for what is on hand, and confirmed for nothing;
// cancelled waits for the tombstone. The commit is one round trip more.
func TestBatchCostsWhatOneOrderCosts(t *testing.T) {
	t.Parallel()
	s := atRest(t)
	counted := map[string]int{}
	cfg := s.DB.Pool().Config()
	cfg.ConnConfig.Tracer = &tracelog.TraceLog{LogLevel: tracelog.LogLevelInfo, Logger: tracelog.LoggerFunc(
		func(_ context.Context, _ tracelog.LogLevel, what string, _ map[string]any) { counted[what]++ })}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s.DB = postgres.NewDB("inventory", pool)
	s.module = New(Config{KeyRetention: time.Hour}, s.DB, events.NewOutbox(s.DB, nil, events.Config{}, s.Log), s.Log, s.Now)
	for _, size := range []int{1, 50} {
		var batch []ordersapi.Placed
		var orders []string
		for range size {
			order := placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: 1}, ordersapi.Line{SKU: "cup-celadon", Quantity: 1})
			batch, orders = append(batch, order), append(orders, order.OrderID)
		}
		for _, test := range []struct {
			handle            func() error
			trips, statements int
		}{
			// BEGIN and OpenReservations; Reserve, the outbox and COMMIT
			{func() error { return s.place(t.Context(), batch...) }, 2, 5},
			// BEGIN, Ship and COMMIT
			{func() error { return s.confirm(t.Context(), orders...) }, 1, 3},
			// BEGIN and InsertTombstone; Release and COMMIT
			{func() error { return s.cancel(t.Context(), orders[0]) }, 2, 4},
		} {
			clear(counted)
			if err := test.handle(); err != nil {
				t.Fatal(err)
			}
			if counted["BatchClose"] != test.trips || counted["BatchQuery"] != test.statements || counted["Query"] != 0 {
				t.Errorf("%d orders: %v, want %d trips with %d statements", size, counted, test.trips, test.statements)
			}
		}
	}
}
