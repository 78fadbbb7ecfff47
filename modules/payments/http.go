package payments

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"example.com/shop/modules/payments/internal/db"
	"example.com/shop/modules/payments/paymentsapi"
	"example.com/shop/platform/web"
)

// Routes offers what the shop's staff may see. Nobody pays here: orders says when a payment is due.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-payments", Method: http.MethodGet, Path: "/v1/payments",
		Summary: "The payment of an order", Security: web.Staff,
	}, m.handleList)
}

// payment is a payment as staff see it. The token is not theirs to see.
type payment struct {
	ID        string            `json:"id"`
	OrderID   string            `json:"order_id"`
	Status    string            `json:"status" doc:"pending, cancelling, captured, declined, cancelled, refunding or refunded"`
	Amount    paymentsapi.Money `json:"amount"`
	CreatedAt time.Time         `json:"created_at"`
}

type listInput struct {
	OrderID string `query:"order_id" required:"true" format:"uuid" doc:"The order that the payment is for"`
}

type listOutput struct {
	Body web.Page[payment]
}

func (m *Module) handleList(ctx context.Context, in *listInput) (*listOutput, error) {
	orderID, err := uuid.Parse(in.OrderID)
	if err != nil {
		return nil, m.problem(ctx, errBadOrderID)
	}
	rows, err := m.queries.ListPayments(ctx, orderID)
	if err != nil {
		return nil, m.problem(ctx, wrap("list payments", err))
	}
	page := web.Page[payment]{Items: make([]payment, len(rows))}
	for i, row := range rows {
		page.Items[i] = paymentOf(row)
	}
	return &listOutput{Body: page}, nil
}

// paymentOf is the one mapping of a payment's row.
func paymentOf(row db.ListPaymentsRow) payment {
	return payment{
		ID: row.ID.String(), OrderID: row.OrderID.String(), Status: row.Status,
		Amount: paymentsapi.Money{Amount: row.Amount, Currency: row.Currency}, CreatedAt: row.CreatedAt.UTC(),
	}
}

var errBadOrderID = errors.New("order id is no UUID")

// problem tells the caller what a caller can act on. Any other error goes through as it is: the web server logs it and
// tells nothing.
func (m *Module) problem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errBadOrderID):
		return web.Problem(ctx, http.StatusUnprocessableEntity, "invalid-order-id", "The order id is not a UUID.")
	default:
		return err
	}
}
