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

// Routes registers the operations of staff.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-notifications", Method: http.MethodGet, Path: "/v1/notifications",
		Summary: "List an order's notifications", Security: web.Staff,
	}, m.handleList)
}

// notificationJSON is a message as staff see it, without its text and its address.
type notificationJSON struct {
	Kind      string     `json:"kind" doc:"confirmed or cancelled"`
	Status    string     `json:"status" doc:"pending, sent, failed, or withheld: too many in an hour for one mailbox"`
	MessageID string     `json:"message_id"`
	SentAt    *time.Time `json:"sent_at" nullable:"true"`
}

type listInput struct {
	OrderID uuid.UUID `query:"order_id" required:"true" format:"uuid"`
}

type listOutput struct {
	Body web.Page[notificationJSON]
}

// handleList returns a page that never has a next one: an order has a message or two.
func (m *Module) handleList(ctx context.Context, in *listInput) (*listOutput, error) {
	rows, err := db.New(m.db).ListMessages(ctx, in.OrderID)
	if err != nil {
		return nil, fmt.Errorf("list messages: %w", err)
	}
	return &listOutput{Body: web.NewPage(rows, len(rows), toJSON, nil)}, nil
}

func toJSON(row db.ListMessagesRow) notificationJSON {
	shown := notificationJSON{Kind: row.Kind, Status: row.Status, MessageID: row.MessageID}
	if row.SentAt != nil {
		sentAt := row.SentAt.UTC()
		shown.SentAt = &sentAt
	}
	return shown
}
