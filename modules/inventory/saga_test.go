package inventory

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

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
		"knows an order by the value of its id": {
			told: []events.Event{placed(strings.ToUpper(order), twoOfTea.Lines...),
				placed("urn:uuid:"+order, twoOfTea.Lines...), confirmed},
			heard: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
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
	s := setupPolling(t, 20*time.Millisecond) // a replay wakes nobody
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
