package orders

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/devkit/moduletest"
)

// shop is the module on its stage, with a stock that a test replaces in the module.
type shop struct {
	*moduletest.Stage
	t      *testing.T
	module *Module
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
	s := &shop{Stage: moduletest.New(t, "orders", ordersmigrations.FS), t: t}
	s.module = New(Config{Deadline: time.Minute, ExpiryPoll: time.Hour, KeyRetention: time.Hour, MaxOpen: 1000, MaxPieces: 10_000},
		s.DB, s.Outbox, s.Log, s.Now, teaAndCup)
	s.Start(s.module)
	return s
}

// find is the order's row.
func (s *shop) find(id uuid.UUID) db.Order {
	s.t.Helper()
	order, err := s.module.find(s.t.Context(), s.DB, "ada", id)
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
func (s *shop) call(customer, method, path, body, key string) (status int, header http.Header, answer map[string]any) {
	s.t.Helper()
	request := moduletest.Request{Method: method, Path: path, Body: body, Subject: customer, Key: key}
	if customer != "" {
		request.Role = "customer"
	}
	response := s.Call(request)
	response.JSON(&answer)
	return response.Status, response.Header, answer
}
