package orders

import (
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/platform/postgres"
)

// insertTx queues the INSERTs of all orders and of all their lines, which keep the quoted prices:
// two statements, sent with the COMMIT.
func insertTx(tx pgx.Tx, orders []newOrder) {
	var rows db.InsertOrdersParams
	var lines db.InsertLinesParams
	for _, o := range orders {
		rows.Ids = append(rows.Ids, o.id)
		rows.CustomerIds = append(rows.CustomerIds, o.customerID)
		rows.Emails = append(rows.Emails, o.email)
		rows.PaymentTokens = append(rows.PaymentTokens, o.paymentToken)
		rows.Totals = append(rows.Totals, o.total.Amount)
		rows.Currencies = append(rows.Currencies, o.total.Currency)
		rows.Deadlines = append(rows.Deadlines, o.deadline)
		rows.Times = append(rows.Times, o.placedAt)
		rows.Pieces = append(rows.Pieces, pieces(o.priced))
		for i, l := range o.priced {
			lines.OrderIds = append(lines.OrderIds, o.id)
			lines.Positions = append(lines.Positions, int32(i)+1)
			lines.Skus = append(lines.Skus, l.sku)
			lines.Names = append(lines.Names, l.name)
			lines.Quantities = append(lines.Quantities, l.quantity)
			lines.UnitPrices = append(lines.UnitPrices, l.unitPrice)
		}
	}
	q := db.New(tx)
	postgres.Queue(tx, q.InsertOrders, rows)
	postgres.Queue(tx, q.InsertLines, lines)
}
