package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/process"
)

// ErrOtherBus means that a process is configured for another bus than its schema.
var ErrOtherBus = process.Usage(errors.New("the schema belongs to another bus"))

// RecordBus records the bus of the schema's events, if none is recorded yet, and returns
// ErrOtherBus if another one is. On two buses each would publish to half of the subscribers.
func RecordBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	// The no-op update returns the row even if another process wrote it after this statement began.
	var recorded string
	err := pool.QueryRow(ctx, `
		INSERT INTO bus (name) VALUES ($1)
		ON CONFLICT (singleton) DO UPDATE SET name = bus.name
		RETURNING name`, name).Scan(&recorded)
	if err != nil {
		return fmt.Errorf("record bus: %w", err)
	}
	if recorded != name {
		return fmt.Errorf("%w: %q is recorded, and this process is configured for %q", ErrOtherBus, recorded, name)
	}
	return nil
}

// SwitchBus records that the schema's events travel on another bus from now on. An operator uses it
// to move the modules from one process to several, from memory to nats, or back. Afterwards
// RecordBus accepts only processes of the new bus.
//
// Running processes are not stopped, and may be restarted one by one, in either direction. A
// process on memory serves every module, so its events reach every subscriber; the events of a
// process on nats stay in the stream until each subscriber has acknowledged them, also one that
// comes later. What is still there when the last process leaves nats is not delivered. Then replay
// in every schema what was written since the oldest message that some subscriber had not
// acknowledged, or everything, if that is not known; the inboxes make a replay of too much
// harmless. seam events bus prints the steps.
func SwitchBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO bus (name) VALUES ($1)
		ON CONFLICT (singleton) DO UPDATE SET name = excluded.name`, name)
	if err != nil {
		return fmt.Errorf("switch bus: %w", err)
	}
	return nil
}
