package events

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/process"
)

// ErrOtherBus says that a process is configured for another bus than the one its schema's events travel on.
var ErrOtherBus = process.Usage(errors.New("the schema belongs to another bus"))

// RecordBus writes down which bus the schema's events travel on, the first time, and answers
// ErrOtherBus when that is not the one named. Two processes of one schema on different buses would
// each publish to half of the subscribers.
func RecordBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	// The update changes nothing. It returns the row even if another process wrote it after this statement began.
	var recorded string
	err := pool.QueryRow(ctx, `
		INSERT INTO bus (name) VALUES ($1)
		ON CONFLICT (singleton) DO UPDATE SET name = bus.name
		RETURNING name`, name).Scan(&recorded)
	if err != nil {
		return fmt.Errorf("record bus: %w", err)
	}
	if recorded != name {
		return fmt.Errorf("%w: it is recorded for %q and this process is configured for %q", ErrOtherBus, recorded, name)
	}
	return nil
}

// SwitchBus records that the schema's events travel on another bus from now on. It is for an
// operator who moves the shop from one process to several, from memory to nats, or back; afterwards
// RecordBus admits processes of the new bus and no other.
//
// It stops nobody, and need not: the processes may be restarted one by one, in either direction. A
// process on memory serves every module, so what it publishes reaches every subscriber; what a
// process on nats publishes stays in the stream until its subscriber has it, also one that comes
// later. What is still there when the last process leaves nats is not delivered. Then replay in
// every schema what was written since the oldest message that some subscriber had not acknowledged,
// or everything that is kept, if that is not known; the inboxes make a replay of too much harmless.
// seam events bus says the steps.
func SwitchBus(ctx context.Context, pool *pgxpool.Pool, name string) error {
	_, err := pool.Exec(ctx, `
		INSERT INTO bus (name) VALUES ($1)
		ON CONFLICT (singleton) DO UPDATE SET name = excluded.name`, name)
	if err != nil {
		return fmt.Errorf("switch bus: %w", err)
	}
	return nil
}
