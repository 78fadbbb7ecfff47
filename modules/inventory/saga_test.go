package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

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
		reserved  = []string{"inventory.reserved.v1 " + order + " 1"}
		rejected  = []string{"inventory.rejected.v1 " + order + " out_of_stock 1"}
	)
	type facts = []events.Event
	lines := func(lines ...ordersapi.Line) ordersapi.Placed { return placed(order, lines...) }
	assam := func(quantity int) ordersapi.Line { return ordersapi.Line{SKU: "tea-assam", Quantity: quantity} }
	for name, test := range map[string]struct {
		published facts
		answers   []string
		status    string
		tea       [3]int64 // of tea-assam: on hand, reserved, shipped
	}{
		"reserves": {facts{twoOfTea}, reserved, "reserved", [3]int64{998, 2, 0}},
		"adds up lines of one sku": {facts{lines(assam(600), ordersapi.Line{SKU: "cup-celadon", Quantity: 1}, assam(600))},
			rejected, "rejected", [3]int64{1000, 0, 0}},
		"takes the last piece": {facts{lines(assam(1000))}, reserved, "reserved", [3]int64{0, 1000, 0}},
		"reserves all or nothing": {facts{lines(assam(1), ordersapi.Line{SKU: "tea-gyokuro", Quantity: 4})},
			rejected, "rejected", [3]int64{1000, 0, 0}},
		"rejects an unknown sku": {facts{lines(assam(1), ordersapi.Line{SKU: "no-such-tea", Quantity: 1})},
			rejected, "rejected", [3]int64{1000, 0, 0}},
		"reserves once": {facts{twoOfTea, twoOfTea}, reserved, "reserved", [3]int64{998, 2, 0}},
		"knows an order by the value of its id": {
			facts{placed(strings.ToUpper(order), assam(2)), placed("urn:uuid:"+order, assam(2)), confirmed},
			reserved, "shipped", [3]int64{998, 0, 2}},
		"ships once":         {facts{twoOfTea, confirmed, confirmed}, reserved, "shipped", [3]int64{998, 0, 2}},
		"releases once":      {facts{twoOfTea, cancelled, cancelled}, reserved, "released", [3]int64{1000, 0, 0}},
		"leaves a tombstone": {facts{cancelled, twoOfTea}, nil, "cancelled", [3]int64{1000, 0, 0}},
		"does not reserve again what was released": {facts{twoOfTea, cancelled, twoOfTea},
			reserved, "released", [3]int64{1000, 0, 0}},
		"does not take back what was shipped": {facts{twoOfTea, confirmed, cancelled}, reserved, "shipped", [3]int64{998, 0, 2}},
		"does not ship what was released":     {facts{twoOfTea, cancelled, confirmed}, reserved, "released", [3]int64{1000, 0, 0}},
		"keeps a rejection when the order is cancelled for it": {facts{lines(assam(1001)), cancelled},
			rejected, "rejected", [3]int64{1000, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.Given(test.published...)
			if diff := cmp.Diff(test.answers, s.answers()); diff != "" {
				t.Errorf("answers:\n%s", diff)
			}
			if got := s.tea(); got != test.tea {
				t.Errorf("on hand, reserved, shipped: %v, want %v", got, test.tea)
			}
			if got := s.status(order); got != test.status {
				t.Errorf("the reservation is %s, want %s", got, test.status)
			}
		})
	}
}

// A malformed order does not affect the other orders of its batch.
func TestMalformedOrderIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := setup(t)
	first, last := uuid.NewString(), uuid.NewString()
	assam := ordersapi.Line{SKU: "tea-assam", Quantity: 1}
	s.Publish(placed(first, assam), placed("no uuid", assam), placed(uuid.NewString()),
		placed(uuid.NewString(), ordersapi.Line{SKU: "tea-assam", Quantity: -1}), placed(last, assam))
	s.Settle()
	want := []string{first, last}
	if diff := cmp.Diff(want, s.Texts("SELECT key FROM outbox WHERE topic = 'inventory.reserved.v1' ORDER BY id")); diff != "" {
		t.Error(diff)
	}
	if n := s.Count("SELECT count(*) FROM failed WHERE dead_at IS NOT NULL"); n != 3 {
		t.Errorf("%d dead letters, want 3", n)
	}
}
