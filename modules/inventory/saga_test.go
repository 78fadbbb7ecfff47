package inventory

import (
	"slices"
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
		published []events.Event
		answers   []events.Event
		status    string
		tea       [3]int64 // of tea-assam: on hand, reserved, shipped
	}{
		"reserves": {
			published: []events.Event{twoOfTea}, answers: reserved, status: "reserved", tea: [3]int64{998, 2, 0},
		},
		"adds up lines of one sku": {
			published: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 600}, ordersapi.Line{SKU: "cup-celadon", Quantity: 1},
				ordersapi.Line{SKU: "tea-assam", Quantity: 600})},
			answers: rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"takes the last piece": {
			published: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1000})},
			answers:   reserved, status: "reserved", tea: [3]int64{0, 1000, 0},
		},
		"reserves all or nothing": {
			published: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1}, ordersapi.Line{SKU: "tea-gyokuro", Quantity: 4})},
			answers:   rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"rejects an unknown sku": {
			published: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1}, ordersapi.Line{SKU: "no-such-tea", Quantity: 1})},
			answers:   rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
		"reserves once": {
			published: []events.Event{twoOfTea, twoOfTea}, answers: reserved, status: "reserved", tea: [3]int64{998, 2, 0},
		},
		"knows an order by the value of its id": {
			published: []events.Event{placed(strings.ToUpper(order), twoOfTea.Lines...),
				placed("urn:uuid:"+order, twoOfTea.Lines...), confirmed},
			answers: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
		},
		"ships once": {
			published: []events.Event{twoOfTea, confirmed, confirmed}, answers: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
		},
		"releases once": {
			published: []events.Event{twoOfTea, cancelled, cancelled}, answers: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"leaves a tombstone": {
			published: []events.Event{cancelled, twoOfTea}, status: "cancelled", tea: [3]int64{1000, 0, 0},
		},
		"does not reserve again what was released": {
			published: []events.Event{twoOfTea, cancelled, twoOfTea}, answers: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"does not take back what was shipped": {
			published: []events.Event{twoOfTea, confirmed, cancelled}, answers: reserved, status: "shipped", tea: [3]int64{998, 0, 2},
		},
		"does not ship what was released": {
			published: []events.Event{twoOfTea, cancelled, confirmed}, answers: reserved, status: "released", tea: [3]int64{1000, 0, 0},
		},
		"keeps a rejection when the order is cancelled for it": {
			published: []events.Event{placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 1001}), cancelled},
			answers:   rejected, status: "rejected", tea: [3]int64{1000, 0, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.Given(test.published...)
			if diff := cmp.Diff(test.answers, s.answers); diff != "" {
				t.Errorf("answers:\n%s", diff)
			}
			if got := s.stock("tea-assam"); got != test.tea {
				t.Errorf("on hand, reserved, shipped: %v, want %v", got, test.tea)
			}
			if got := s.status(order); got != test.status {
				t.Errorf("the reservation is %s, want %s", got, test.status)
			}
		})
	}
}

func TestReplayChangesNothing(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.NewString()
	s.Given(placed(order, ordersapi.Line{SKU: "tea-assam", Quantity: 2}),
		ordersapi.Confirmed{OrderID: order, Version: 3})

	const published = "SELECT NOT EXISTS (SELECT FROM outbox_pending)"
	s.Eventually("the events are published", published)
	if n, err := events.Replay(t.Context(), s.DB.Pool, time.Time{}, func(int64) {}); err != nil || n != 3 {
		t.Fatalf("replayed %d events, error %v; want 3", n, err)
	}
	s.Eventually("they are published again", published)
	if got, want := s.stock("tea-assam"), [3]int64{998, 0, 2}; got != want {
		t.Errorf("on hand, reserved, shipped: %v, want %v", got, want)
	}
	if len(s.answers) != 1 {
		t.Errorf("answers %v, want one", s.answers)
	}
}

// A malformed order does not affect the other orders of its batch.
func TestMalformedOrderIsADeadLetter(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"one by one": 1, "together": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			first, last := uuid.NewString(), uuid.NewString()
			orders := []events.Event{
				placed(first, ordersapi.Line{SKU: "tea-assam", Quantity: 1}),
				placed("no uuid", ordersapi.Line{SKU: "tea-assam", Quantity: 1}),
				placed(uuid.NewString()),
				placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: -1}),
				placed(last, ordersapi.Line{SKU: "tea-assam", Quantity: 1}),
			}
			for batch := range slices.Chunk(orders, size) {
				s.Publish(batch...)
				s.Settle()
			}
			want := []events.Event{inventoryapi.Reserved{OrderID: first, Version: 1}, inventoryapi.Reserved{OrderID: last, Version: 1}}
			if diff := cmp.Diff(want, s.answers); diff != "" {
				t.Error(diff)
			}
			if n := s.Count("SELECT count(*) FROM failed WHERE dead_at IS NOT NULL"); n != 3 {
				t.Errorf("%d dead letters, want 3", n)
			}
		})
	}
}
