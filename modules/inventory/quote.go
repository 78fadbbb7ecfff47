package inventory

import (
	"context"
	"fmt"
	"slices"

	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
)

// Quote answers with the name and the price of each sku that exists, in sku order, and reserves nothing.
// It is what orders calls when both modules run in one process; the route of the same name is for every other topology.
func (m *Module) Quote(ctx context.Context, skus []string) ([]inventoryapi.Quote, error) {
	askable := slices.DeleteFunc(slices.Clone(skus), func(sku string) bool { return !validSKU(sku) })
	rows, err := db.New(m.db).QuoteProducts(ctx, askable)
	if err != nil {
		return nil, fmt.Errorf("quote products: %w", err)
	}
	quotes := make([]inventoryapi.Quote, len(rows))
	for i, row := range rows {
		quotes[i] = inventoryapi.Quote{SKU: row.Sku, Name: row.Name, Price: inventoryapi.Money{Amount: row.Price, Currency: row.Currency}}
	}
	return quotes, nil
}
