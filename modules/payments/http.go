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

// Routes registers what staff may see of payments. Nobody pays here: orders says when a payment is due.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-payments", Method: http.MethodGet, Path: "/v1/payments",
		Summary: "List an order's payments", Security: web.Staff,
	}, m.handleList)
}

// paymentJSON is a payment as staff see it. The token is not theirs to see.
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

// handleList answers with a page that never has a next one: an order has one payment at most.
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
