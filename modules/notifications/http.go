package notifications

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/platform/web"
)

// Routes are the module's one door: customers read their mail, staff looks up what was sent.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-notifications", Method: http.MethodGet, Path: "/v1/notifications",
		Summary: "List an order's notifications", Security: web.Staff,
	}, m.handleList)
}

// notification shows what became of a message, and neither its text nor its address.
type notification struct {
	Kind      string     `json:"kind" doc:"confirmed or cancelled"`
	Status    string     `json:"status" doc:"pending, sent or failed"`
	MessageID string     `json:"message_id"`
	SentAt    *time.Time `json:"sent_at" nullable:"true"`
}

func notificationOf(row db.ListMessagesRow) notification {
	shown := notification{Kind: row.Kind, Status: row.Status, MessageID: row.MessageID}
	if row.SentAt != nil {
		sentAt := row.SentAt.UTC()
		shown.SentAt = &sentAt
	}
	return shown
}

type listInput struct {
	OrderID string `query:"order_id" required:"true" format:"uuid"`
}

type listOutput struct{ Body web.Page[notification] }

// handleList answers with a page that never has a next one: an order has a message or two.
func (m *Module) handleList(ctx context.Context, in *listInput) (*listOutput, error) {
	orderID, err := uuid.Parse(in.OrderID)
	if err != nil {
		return nil, web.Problem(ctx, http.StatusBadRequest, "bad-order-id", "order_id is no UUID.")
	}
	rows, err := m.queries.ListMessages(ctx, orderID)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	page := web.Page[notification]{Items: make([]notification, len(rows))}
	for i, row := range rows {
		page.Items[i] = notificationOf(row)
	}
	return &listOutput{Body: page}, nil
}
