package events

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// SwitchBus stub.
func SwitchBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	_, err := pool.Exec(ctx, "UPDATE bus SET name = $1", name)
	return err
}
