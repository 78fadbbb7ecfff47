package payments

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/web"
)

// Routes registers the operations of staff. No payment is made by a route.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-payments", Method: http.MethodGet, Path: "/v1/payments",
		Summary: "List an order's payments", Security: web.Staff,
	}, m.handleList)
}

// paymentJSON is a payment as staff see it, without its token.
type paymentJSON struct {
	ID        string            `json:"id" format:"uuid"`
	OrderID   string            `json:"order_id" format:"uuid"`
	Status    string            `json:"status" doc:"pending, cancelling, captured, declined, cancelled, refunding or refunded"`
	Amount    paymentsapi.Money `json:"amount"`
	CreatedAt time.Time         `json:"created_at"`
}

type listInput struct {
	OrderID uuid.UUID `query:"order_id" required:"true" format:"uuid"`
}

type listOutput struct {
	Body web.Page[paymentJSON]
}

// handleList returns a page that never has a next one: an order has one payment at most.
func (m *Module) handleList(ctx context.Context, in *listInput) (*listOutput, error) {
	rows, err := db.New(m.db).ListPayments(ctx, in.OrderID)
	if err != nil {
		return nil, fmt.Errorf("list payments: %w", err)
	}
	return &listOutput{Body: web.NewPage(rows, len(rows), toJSON, nil)}, nil
}

func toJSON(row db.ListPaymentsRow) paymentJSON {
	return paymentJSON{
		ID: row.ID.String(), OrderID: row.OrderID.String(), Status: row.Status,
		Amount: paymentsapi.Money{Amount: row.Amount, Currency: row.Currency}, CreatedAt: row.CreatedAt.UTC(),
	}
}
