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
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
)

// placement is what a customer asks for.
type placement struct {
	customerID   string
	email        string
	paymentToken string
	lines        []ordersapi.Line
}

// place stores a new order at the prices that inventory quotes now, once per idempotency key. The answer to a key that was used
// is looked up before the quote: it stays what it was, whatever the products cost by now.
func (m *Module) place(ctx context.Context, key idempotency.Key, p placement) (*orderOutput, error) {
	answer, ok, err := idempotency.Stored[orderOutput](ctx, m.pool, key)
	if err != nil {
		return nil, err
	}
	if ok {
		return &answer, nil
	}
	lines, err := m.price(ctx, p.lines)
	if err != nil {
		return nil, err
	}
	amount, currency, err := total(lines)
	if err != nil {
		return nil, err
	}
	// All that can be known before the transaction is made before it: a connection is held for nothing but writing.
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make order id: %w", err)
	}
	now := m.now().Truncate(time.Microsecond) // as PostgreSQL keeps it, so that the answer is what will be read
	deadline := now.Add(m.cfg.Deadline)
	row := db.InsertOrderParams{
		ID: id, CustomerID: p.customerID, Email: p.email, PaymentToken: p.paymentToken,
		Total: amount, Currency: currency, Deadline: &deadline, Now: now,
	}
	fact := ordersapi.Placed{
		OrderID: id.String(), CustomerID: p.customerID, Email: p.email, Lines: p.lines,
		Total: ordersapi.Money{Amount: amount, Currency: currency}, Version: 1,
	}

	err = postgres.InTx(ctx, m.pool, func(tx pgx.Tx) (err error) {
		answer, err = idempotency.DoTx(ctx, tx, key, func() (orderOutput, error) {
			if err := insertTx(ctx, tx, row, lines); err != nil {
				return orderOutput{}, err
			}
			if err := events.PublishTx(ctx, tx, fact); err != nil {
				return orderOutput{}, err
			}
			return placedOutput(row, lines), nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	failpoint.Here("committed, not published")
	m.outbox.Wake()
	return &answer, nil
}

// price asks inventory for the name and the price of every product. It is the one call to another module that a customer waits
// for, so its failing is told apart from ours: the same request will do once inventory is back.
func (m *Module) price(ctx context.Context, lines []ordersapi.Line) ([]pricedLine, error) {
	// A sku that is in two lines is asked for twice, which inventory answers once.
	skus := make([]string, len(lines))
	for i, l := range lines {
		skus[i] = l.SKU
	}
	quotes, err := m.stock.Quote(ctx, skus)
	switch {
	case err == nil:
	case ctx.Err() != nil: // whoever asked has gone or has waited too long, which is not inventory's fault
		return nil, fmt.Errorf("quote: %w", ctx.Err())
	default:
		return nil, fmt.Errorf("%w: %w", errNoQuote, err)
	}
	priced := make([]pricedLine, len(lines))
	for i, l := range lines {
		for _, q := range quotes {
			if q.SKU == l.SKU {
				priced[i] = pricedLine{
					sku: l.SKU, name: q.Name, quantity: int32(l.Quantity),
					unitPrice: q.Price.Amount, currency: q.Price.Currency,
				}
			}
		}
		if priced[i].sku == "" {
			return nil, errUnknownSKU
		}
	}
	return priced, nil
}

// insertTx writes the order in two statements, however many lines it has, and waits for neither. The lines keep the quoted prices: what a product costs
// later is none of the order's business.
func insertTx(ctx context.Context, tx pgx.Tx, row db.InsertOrderParams, lines []pricedLine) error {
	q := db.New(postgres.Later(tx))
	if err := q.InsertOrder(ctx, row); err != nil {
		return fmt.Errorf("insert order: %w", err)
	}
	params := db.InsertLinesParams{OrderID: row.ID}
	for _, l := range lines {
		params.Skus = append(params.Skus, l.sku)
		params.Names = append(params.Names, l.name)
		params.Quantities = append(params.Quantities, l.quantity)
		params.UnitPrices = append(params.UnitPrices, l.unitPrice)
	}
	if err := q.InsertLines(ctx, params); err != nil {
		return fmt.Errorf("insert lines: %w", err)
	}
	return nil
}
