package events_test

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/bustest"
	"example.com/shop/platform/events"
)

func TestMemoryBus(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Bus {
		bus := events.NewMemoryBus()
		t.Cleanup(func() { _ = bus.Close() })
		return bustest.Bus{
			Publisher:  bus,
			Subscriber: func(*testing.T, string) message.Subscriber { return bus },
			Waits:      true,
		}
	})
}

// A schema belongs to one bus, until it is switched. Two processes may record it at a time.
func TestTheBusOfASchema(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	recorded := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), s.Publisher, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "INSERT INTO bus (name) VALUES ('memory')"); err != nil {
			return err
		}
		go func() { recorded <- events.RecordBus(t.Context(), s.Publisher.Pool, "memory") }()
		s.Eventually(s.Publisher, 1, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO bus%'`)
		return nil
	})
	if err := errors.Join(err, <-recorded); err != nil {
		t.Error(err)
	}
	if err := events.RecordBus(t.Context(), s.Publisher.Pool, "nats"); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("another bus: %v", err)
	}
	for _, pool := range []*pgxpool.Pool{s.Publisher.Pool, s.Subscriber.Pool} { // the subscriber's has recorded none
		err := errors.Join(events.SwitchBus(t.Context(), pool, "nats"), events.RecordBus(t.Context(), pool, "nats"))
		if err != nil {
			t.Error(err)
		}
		if err := events.RecordBus(t.Context(), pool, "memory"); !errors.Is(err, events.ErrOtherBus) {
			t.Errorf("the old bus: %v", err)
		}
	}
}
