package orders

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/idempotency"
)

var oneTea = placement{
	customerID: "ada", email: "ada@example.com", paymentToken: "tok_ok", lines: []ordersapi.Line{{SKU: "tea", Quantity: 1}},
}

func TestARepetitionNeedsNoQuote(t *testing.T) {
	t.Parallel()
	s := setup(t)
	key := idempotency.NewKey("ada", "POST /v1/orders", "k", nil)
	first, err := s.module.place(t.Context(), key, oneTea)
	if err != nil {
		t.Fatal(err)
	}
	down := errors.New("inventory is down")
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) { return nil, down })
	again, err := s.module.place(t.Context(), key, oneTea)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the answer changed (-first +again):\n%s", diff)
	}
	other := idempotency.NewKey("ada", "POST /v1/orders", "another", nil)
	if _, err := s.module.place(t.Context(), other, oneTea); !errors.Is(err, errNoQuote) || !errors.Is(err, down) {
		t.Errorf("a new order without a quote: %v", err)
	}
	if n := len(s.Published(first.Body.ID)); n != 1 {
		t.Errorf("published %d times", n)
	}
}

// A client that is gone, or a request that took too long, is no failure of inventory.
func TestTheCallerLeavesBeforeTheQuote(t *testing.T) {
	t.Parallel()
	s := setup(t)
	for name, caller := range map[string]func() (context.Context, context.CancelFunc){
		"gone": func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
		"too late": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 50*time.Millisecond)
		},
	} {
		ctx, cancel := caller()
		defer cancel()
		s.module.stock = shelf(func(ctx context.Context, _ []string) ([]inventoryapi.Quote, error) {
			if name == "gone" {
				cancel()
			}
			<-ctx.Done()
			return nil, errors.New("the circuit is open")
		})
		_, err := s.module.place(ctx, idempotency.NewKey("ada", "POST /v1/orders", name, nil), oneTea)
		if errors.Is(err, errNoQuote) || !errors.Is(err, ctx.Err()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
