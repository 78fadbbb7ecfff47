package notifications

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/notifications/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// onOrderErased deletes the orders' addresses, messages and unsent mails.
//
//	BEGIN; INSERT inbox; UPDATE recipients; DELETE messages, jobs; INSERT erased; COMMIT
func (m *Module) onOrderErased(_ context.Context, tx pgx.Tx, batch []events.Delivery[ordersapi.Erased]) error {
	ids, keys := make([]uuid.UUID, len(batch)), make([]string, len(batch))
	for i, d := range batch {
		var err error
		if ids[i], err = uuid.Parse(d.Event.OrderID); err != nil {
			return fmt.Errorf("read order id: %w", err)
		}
		keys[i] = d.Event.OrderID
	}
	q := db.New(tx)
	postgres.Queue(tx, q.EraseRecipients, db.EraseRecipientsParams{OrderIds: ids, Now: m.now()})
	postgres.Queue(tx, q.EraseMessages, ids)
	events.EraseTx(tx, keys)
	return nil
}
