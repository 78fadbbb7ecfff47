package orders

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
)

// placement is a customer's request for an order.
type placement struct {
	customerID   string
	email        string
	paymentToken string
	lines        []ordersapi.Line
}

// place prices an order by inventory's quote, and stores and publishes it in placeTx, once per
// idempotency key. A key that was used gets its stored answer, even if it cannot be priced now.
func (m *Module) place(ctx context.Context, key idempotency.Key, p placement) (*orderOutput, error) {
	lines, price, err := m.price(ctx, p.lines)
	if err != nil {
		answer, known, lookupErr := idempotency.Stored[*orderOutput](ctx, m.db, key)
		if known || lookupErr != nil {
			return answer, lookupErr
		}
		return nil, err
	}
	now := m.now().Truncate(time.Microsecond) // PostgreSQL's precision: the answer equals what a later GET reads
	return m.placing.Do(ctx, newOrder{
		placement: p, key: key, cause: events.CauseOf(ctx), id: uuid.Must(uuid.NewV7()), priced: lines,
		total: price, placedAt: now, deadline: now.Add(m.cfg.Deadline),
	})
}

// newOrder is a placement with everything that is stored of it. It is made before the transaction,
// which holds a connection for writing only.
type newOrder struct {
	placement
	key                idempotency.Key
	cause              events.Cause
	id                 uuid.UUID
	priced             []pricedLine
	total              ordersapi.Money
	placedAt, deadline time.Time
}

// placeTx stores and publishes those orders of a group (postgres.Group) whose keys are new and
// whose customers may have more open orders, in one transaction of two round trips:
//
//	BEGIN; count open orders; lock the keys, read their answers
//	INSERT orders, lines, idempotency_keys, outbox, outbox_pending; COMMIT
//
// After a kill -9 before the COMMIT nothing is stored, and a retry with the key places the order;
// after it, a retry gets the stored answer, and a relay publishes the event (Outbox.PublishTx).
func (m *Module) placeTx(ctx context.Context, tx pgx.Tx, group []newOrder) ([]postgres.Result[*orderOutput], error) {
	keys, customers := make([]idempotency.Key, len(group)), make([]string, len(group))
	for i, o := range group {
		keys[i], customers[i] = o.key, o.customerID
	}
	counted := postgres.QueueMany(tx, db.New(tx).CountOpen, customers)
	return idempotency.DoTx(ctx, tx, keys, func(fresh []int) ([]postgres.Result[*orderOutput], error) {
		open := map[string]db.CountOpenRow{}
		for _, c := range *counted {
			open[c.CustomerID] = c
		}
		var orders []newOrder
		answers := make([]postgres.Result[*orderOutput], len(fresh))
		for n, i := range fresh {
			o := group[i]
			if answers[n].Err = m.cfg.admit(o, open); answers[n].Err != nil {
				continue
			}
			orders, answers[n].Value = append(orders, o), placedOutput(o)
			err := m.outbox.PublishTx(events.WithCause(ctx, o.cause), tx, ordersapi.Placed{
				OrderID: o.id.String(), CustomerID: o.customerID, Email: o.email, Lines: o.lines, Total: o.total,
				Version: 1,
			})
			if err != nil {
				return nil, err
			}
		}
		insertTx(tx, orders)
		return answers, nil
	})
}
