package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// ErrOtherBus means that a process is configured for another bus than its schema.
var ErrOtherBus = process.Usage(errors.New("the schema belongs to another bus"))

// RecordBus records the bus of the schema's events, if none is recorded yet, and returns
// ErrOtherBus if another one is. On two buses each would publish to half of the subscribers.
//
// It also records which modules the system has: those that the schema knew already, and those in
// its database. So a module is still known when its data is elsewhere, or its code is no longer in
// this program. A bus in memory is refused unless the process serves all of them.
func RecordBus(ctx context.Context, db *postgres.DB, name string, serves []string) error {
	return db.InTx(ctx, func(tx pgx.Tx) error {
		// The update returns the row even if another process wrote it after this statement began.
		var recorded string
		var modules []string
		err := tx.QueryRow(ctx, `
			INSERT INTO bus (name, modules) VALUES ($1, ARRAY (
				SELECT nspname::text FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
				WHERE relname = 'platform_version'))
			ON CONFLICT (singleton) DO UPDATE
				SET modules = ARRAY (SELECT unnest(bus.modules || excluded.modules) GROUP BY 1 ORDER BY 1)
			RETURNING name, modules`, name).Scan(&recorded, &modules)
		if err != nil {
			return fmt.Errorf("record bus: %w", err)
		}
		lacks := slices.DeleteFunc(modules, func(m string) bool { return slices.Contains(serves, m) })
		if name == Memory && len(lacks) > 0 {
			return process.Usage(fmt.Errorf("BUS=memory reaches this process alone, which does not serve %s: set BUS=nats, "+
				"or have the data follow, if a module was removed or renamed: by bin/seam up, or seam setup, "+
				"with --removed NAME or --renamed OLD=NEW", strings.Join(lacks, ", ")))
		}
		if recorded != name {
			return fmt.Errorf("%w: %[2]q is recorded, and this process is configured for %[3]q: set BUS=%[2]s", ErrOtherBus, recorded, name)
		}
		return nil
	})
}

// RecordModules records, on the module's migration role, which modules the system has. It does
// nothing before a process has recorded the bus.
func RecordModules(ctx context.Context, migrateURL string) error {
	conn, err := postgres.Connect(ctx, migrateURL)
	if err != nil {
		return fmt.Errorf("connect to record the modules: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, `
		UPDATE bus SET modules = ARRAY (SELECT unnest(modules || ARRAY (
			SELECT nspname::text FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
			WHERE relname = 'platform_version')) GROUP BY 1 ORDER BY 1)
		WHERE singleton AND NOT EXISTS (SELECT FROM home WHERE singleton AND state <> 'home') -- the owner passes the fence of a move`)
	if err != nil {
		return fmt.Errorf("record the modules: %w", err)
	}
	return nil
}

// RecordedBus returns the recorded bus, or "" if none is recorded yet.
func RecordedBus(ctx context.Context, db *postgres.DB) (name string, err error) {
	if err = db.QueryRow(ctx, "SELECT coalesce((SELECT name FROM bus WHERE singleton), '')").Scan(&name); err != nil {
		return "", fmt.Errorf("read bus: %w", err)
	}
	return name, nil
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
