package inventory

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/postgres"
)

// restock adds pieces to what is on hand, once per idempotency key; the answer is stored in the
// same transaction. An unknown sku stores nothing: the same key works once the product exists.
func (m *Module) restock(ctx context.Context, key idempotency.Key, sku string, quantity int64) (restockOutput, error) {
	var answer restockOutput
	err := m.db.InTx(ctx, func(tx pgx.Tx) error {
		results, err := idempotency.DoTx(ctx, tx, []idempotency.Key{key}, func([]int) ([]postgres.Result[restockOutput], error) {
			row, err := db.New(tx).Restock(ctx, db.RestockParams{Sku: sku, Quantity: quantity})
			switch {
			case errors.Is(err, pgx.ErrNoRows):
				return nil, errUnknownSKU
			case err != nil:
				return nil, fmt.Errorf("restock product: %w", err)
			}
			return []postgres.Result[restockOutput]{{Value: restockOutput{Status: 200, Body: toJSON(db.ListProductsRow(row))}}}, nil
		})
		if err != nil {
			return err
		}
		answer, err = results[0].Value, results[0].Err
		return err
	})
	return answer, err
}
