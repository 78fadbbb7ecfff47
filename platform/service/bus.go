package service

import (
	"context"
	"sync/atomic"
	"time"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// lookAtBus is how often a process looks whether its schemas are on another bus by now.
const lookAtBus = 2 * time.Second

// noteBus returns a check like ready, with a note while the schema is on another bus than this
// process: it goes on, because processes are restarted one by one. The bus is read apart from the
// check, which must not wait for a table.
func (h *host) noteBus(db *postgres.DB, ready func(context.Context) error) func(context.Context) error {
	var other atomic.Pointer[process.Note]
	h.consuming = append(h.consuming, func(ctx context.Context) error {
		tick := time.NewTicker(lookAtBus)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			name, err := events.RecordedBus(ctx, db)
			switch had := other.Load(); {
			case err != nil: // it is as it was
			case name == h.buses[db.Module].Name():
				other.Store(nil)
			case had == nil:
				note := process.Note("its schema is on the bus " + name + " by now, and this process on " + h.buses[db.Module].Name() + ": restart it")
				other.Store(&note)
				h.log.WarnContext(ctx, "the schema is on another bus by now: restart this process", "module", db.Module, "bus", name)
			}
		}
	})
	return func(ctx context.Context) error {
		err := ready(ctx)
		if note := other.Load(); err == nil && note != nil {
			return *note
		}
		return err
	}
}
