package topology

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/share"
)

// Share gives the sides of a module these weights. A process of another side than those that run
// starts only once its side is among them, for which 0 is enough.
func (s *System) Share(ctx context.Context, module string, weights ...share.Weight) error {
	return s.inSchema(ctx, module, func(pool *pgxpool.Pool) error { return share.Set(ctx, pool, weights...) })
}

func (s *System) inSchema(ctx context.Context, module string, do func(*pgxpool.Pool) error) error {
	pool, err := postgres.OpenAnyVersion(ctx, "seam", module, s.Plan.RuntimeURL(s.Admin(module), module), 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(pool)
}

// prepareSchemas deletes the sides of an earlier run and records the bus in every schema, while no
// process of the system runs. A canary's process may start, and handles nothing yet.
func (s *System) prepareSchemas(ctx context.Context, bus string) error {
	for _, m := range Modules {
		err := s.inSchema(ctx, m, func(pool *pgxpool.Pool) error { return share.Clear(ctx, pool) })
		if err == nil && m == s.options.Canary {
			err = s.Share(ctx, m, share.Weight{Side: "monolith", Weight: 100}, share.Weight{Side: m})
		}
		if err != nil {
			return fmt.Errorf("clear the shares of %s: %w", m, err)
		}
	}
	return s.useBus(ctx, bus)
}

// useBus records the bus in every schema. A switch away from the broker first replays all events
// that the outboxes keep, because it is unknown which ones the broker had not delivered; modules
// ignore those that they have handled. Towards the broker there is no replay: what the memory bus
// published was handled.
func (s *System) useBus(ctx context.Context, bus string) error {
	cfg, err := process.Config[events.Config]()
	if err != nil {
		return err
	}
	// Older events are only there because nothing pruned them while the system was down. They are not
	// replayed, for their inbox rows may be pruned, too.
	kept := time.Now().Add(-cfg.OutboxRetention)
	for _, m := range Modules {
		err := s.inSchema(ctx, m, func(pool *pgxpool.Pool) error {
			return s.useBusIn(ctx, pool, m, bus, kept)
		})
		if err != nil {
			return fmt.Errorf("choose the bus of %s: %w", m, err)
		}
	}
	return nil
}

func (s *System) useBusIn(ctx context.Context, pool *pgxpool.Pool, module, bus string, kept time.Time) error {
	err := events.RecordBus(ctx, postgres.NewDB(module, pool), bus, Modules)
	if !errors.Is(err, events.ErrOtherBus) {
		return err
	}
	if bus == events.Memory { // first: an interrupted start replays the next time
		again, err := events.Replay(ctx, pool, kept, func(int64) {})
		if again > 0 {
			s.say("Leaving the broker: %d events of %s are replayed, before what is new …", again, module)
		}
		if err != nil {
			return err
		}
	}
	return events.SwitchBus(ctx, pool, bus)
}
