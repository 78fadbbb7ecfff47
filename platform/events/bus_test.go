package events_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
)

func TestASchemaBelongsToOneBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 2 {
		if err := events.RecordBus(t.Context(), s.publisher.Pool, "memory"); err != nil {
			t.Fatal(err)
		}
	}
	if err := events.RecordBus(t.Context(), s.publisher.Pool, "nats"); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("got %v", err)
	}
}

// Another process has written the row and not yet committed it.
func TestTwoProcessesRecordOneBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	recorded := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), s.publisher, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "INSERT INTO bus (name) VALUES ('memory')"); err != nil {
			return err
		}
		go func() { recorded <- events.RecordBus(context.Background(), s.publisher.Pool, "memory") }()
		eventually(t, s.publisher, 1, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO bus%'`)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-recorded; err != nil {
		t.Error(err)
	}
}

func TestASchemaMovesToAnotherBus(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if err := events.RecordBus(t.Context(), s.publisher.Pool, "memory"); err != nil {
		t.Fatal(err)
	}
	for _, pool := range []*pgxpool.Pool{s.publisher.Pool, s.subscriber.Pool} { // the subscriber's has recorded none
		if err := events.SwitchBus(t.Context(), pool, "nats"); err != nil {
			t.Fatal(err)
		}
		if err := events.RecordBus(t.Context(), pool, "nats"); err != nil {
			t.Error(err)
		}
		if err := events.RecordBus(t.Context(), pool, "memory"); !errors.Is(err, events.ErrOtherBus) {
			t.Errorf("the old bus: %v", err)
		}
	}
}
