package orders

import (
	"context"
	"fmt"
	"slices"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/ordersapi"
)

// price returns the lines with the names and prices that inventory quotes, and their total: the one
// synchronous call to another module. After errNoQuote the same request may be retried.
func (m *Module) price(ctx context.Context, lines []ordersapi.Line) ([]pricedLine, ordersapi.Money, error) {
	// A sku in two lines is sent twice, and quoted once.
	skus := make([]string, len(lines))
	for i, l := range lines {
		skus[i] = l.SKU
	}
	quotes, err := m.stock.Quote(ctx, skus)
	if err != nil {
		return nil, ordersapi.Money{}, fmt.Errorf("%w: %w", errNoQuote, err)
	}
	priced := make([]pricedLine, len(lines))
	for i, l := range lines {
		n := slices.IndexFunc(quotes, func(q inventoryapi.Quote) bool { return q.SKU == l.SKU })
		if n < 0 {
			return nil, ordersapi.Money{}, errUnknownSKU
		}
		priced[i] = pricedLine{
			sku: l.SKU, name: quotes[n].Name, quantity: int32(l.Quantity),
			unitPrice: quotes[n].Price.Amount, currency: quotes[n].Price.Currency,
		}
	}
	amount, currency, err := total(priced)
	return priced, ordersapi.Money{Amount: amount, Currency: currency}, err
}
