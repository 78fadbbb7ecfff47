package orders

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
)

// eraseEvery is how often old orders are looked for; eraseBatch is how many one transaction erases.
const (
	eraseEvery = time.Hour
	eraseBatch = 100
)

// eraseCustomer erases the customer from all their orders, and returns of how many; errOpenOrders
// if one is open, whose mail and payment still need its customer. A second time it finds none.
func (m *Module) eraseCustomer(ctx context.Context, customerID string) (erased int, err error) {
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		orders, err := db.New(tx).LockOrdersOf(ctx, customerID)
		if err != nil {
			return fmt.Errorf("lock orders of a customer: %w", err)
		}
		ids := make([]uuid.UUID, len(orders))
		for i, o := range orders {
			if o.Open {
				return errOpenOrders
			}
			ids[i] = o.ID
		}
		erased = len(ids)
		idempotency.ForgetTx(tx, customerID, placeRoute)
		return m.eraseTx(ctx, tx, ids)
	})
	return erased, err
}

// eraseOld erases the customers from orders that have been final for Config.Retention, and reports
// whether there may be more.
func (m *Module) eraseOld(ctx context.Context) (more bool, err error) {
	if m.cfg.Retention == 0 {
		return false, nil
	}
	err = m.db.InTx(ctx, func(tx pgx.Tx) error {
		before := m.now().Add(-m.cfg.Retention)
		ids, err := db.New(tx).LockOldOrders(ctx, db.LockOldOrdersParams{Before: before, Most: eraseBatch})
		if err != nil {
			return fmt.Errorf("lock old orders: %w", err)
		}
		more = len(ids) == eraseBatch
		return m.eraseTx(ctx, tx, ids)
	})
	return more && err == nil, err
}

// eraseTx erases the customers from orders that are final and locked, with the events that name
// them, and publishes that for the other modules to do the same.
func (m *Module) eraseTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	events.EraseTx(tx, keys)
	orders, err := db.New(tx).EraseOrders(ctx, db.EraseOrdersParams{Ids: ids, Now: m.now()})
	if err != nil {
		return fmt.Errorf("erase orders: %w", err)
	}
	for _, o := range orders {
		if err := m.outbox.PublishTx(ctx, tx, ordersapi.Erased{OrderID: o.ID.String(), Version: o.Version}); err != nil {
			return err
		}
	}
	return nil
}
