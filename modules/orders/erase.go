package orders

import (
	"context"
	"errors"
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
	var ids []uuid.UUID
	err = m.db.InTx(ctx, func(tx pgx.Tx) (err error) {
		before := m.now().Add(-m.cfg.Retention)
		if ids, err = db.New(tx).LockOldOrders(ctx, db.LockOldOrdersParams{Before: before, Most: eraseBatch}); err != nil {
			return fmt.Errorf("lock old orders: %w", err)
		}
		return m.eraseTx(ctx, tx, ids)
	})
	if !errors.Is(err, events.ErrUnfinished) {
		return len(ids) == eraseBatch && err == nil, err
	}
	for _, id := range ids { // one that is unfinished holds up no other
		err := m.db.InTx(ctx, func(tx pgx.Tx) error { return m.eraseTx(ctx, tx, []uuid.UUID{id}) })
		if err != nil && !errors.Is(err, events.ErrUnfinished) {
			return false, err
		}
	}
	return false, nil
}

// eraseTx erases the customers from orders that are final and locked, with the events that name
// them, and publishes that for the other modules to do the same. It fails with events.ErrUnfinished
// while such an event is still needed.
func (m *Module) eraseTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = id.String()
	}
	if err := events.EraseTx(ctx, tx, keys); err != nil {
		return err
	}
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
