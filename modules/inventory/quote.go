package inventory

import (
	"context"
	"fmt"

	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
)

// Quote returns the name and the price of each sku that exists, in sku order. It reserves nothing.
// orders calls it when both run in one process; the route /v1/inventory/quotes is for any other.
func (m *Module) Quote(ctx context.Context, skus []string) ([]inventoryapi.Quote, error) {
	rows, err := db.New(m.db).QuoteProducts(ctx, skus)
	if err != nil {
		return nil, fmt.Errorf("quote products: %w", err)
	}
	quotes := make([]inventoryapi.Quote, len(rows))
	for i, row := range rows {
		price := inventoryapi.Money{Amount: row.Price, Currency: row.Currency}
		quotes[i] = inventoryapi.Quote{SKU: row.Sku, Name: row.Name, Price: price}
	}
	return quotes, nil
}
