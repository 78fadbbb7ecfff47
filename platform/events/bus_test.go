package events_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/bustest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
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

var both = []string{"publisher", "subscriber"}

// A schema belongs to one bus, until it is switched. Two processes may record it at a time.
func TestTheBusOfASchema(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	recorded := make(chan error, 1)
	err := pgx.BeginFunc(t.Context(), s.Publisher.Pool(), func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), "INSERT INTO bus (name) VALUES ('memory')"); err != nil {
			return err
		}
		go func() { recorded <- events.RecordBus(t.Context(), s.Publisher, "memory", both) }()
		s.Eventually(s.Publisher, 1, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%INSERT INTO bus%'`)
		return nil
	})
	if err := errors.Join(err, <-recorded); err != nil {
		t.Error(err)
	}
	if err := events.RecordBus(t.Context(), s.Publisher, "nats", both); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("another bus: %v", err)
	}
	for _, db := range []*postgres.DB{s.Publisher, s.Subscriber} { // the subscriber's has recorded none
		err := errors.Join(events.SwitchBus(t.Context(), db.Pool(), "nats"), events.RecordBus(t.Context(), db, "nats", both))
		if err != nil {
			t.Error(err)
		}
		if err := events.RecordBus(t.Context(), db, "memory", both); !errors.Is(err, events.ErrOtherBus) {
			t.Errorf("the old bus: %v", err)
		}
	}
}

// A process in memory serves every module that the system has, or ever had until it was taken out,
// whether its schema is in this database or not. One that is refused leaves nothing behind.
func TestNoModuleIsOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	pool := s.Publisher.Pool()
	expect := func(when, bus string, serves []string, lacks string) {
		t.Helper()
		err := events.RecordBus(t.Context(), s.Publisher, bus, serves)
		if lacks == "" && err != nil || lacks != "" && (!errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "does not serve "+lacks+":")) {
			t.Errorf("%s: got %v, want without %q", when, err, lacks)
		}
	}
	expect("one of two, at first", "memory", both[:1], "subscriber")
	expect("on nats, as if nothing had been", "nats", both[:1], "")
	if err := events.SwitchBus(t.Context(), pool, "memory"); err != nil {
		t.Fatal(err)
	}
	expect("one of two, after the switch", "memory", both[:1], "subscriber")
	expect("both", "memory", both, "")

	// A module's data moves to another database, and its name stays.
	if _, err := pool.Exec(t.Context(), "UPDATE bus SET modules = modules || '{tolls}'"); err != nil {
		t.Fatal(err)
	}
	expect("without one that is elsewhere", "memory", both, "tolls")
	// Another one comes, and so does what the modules' migrations know.
	if _, err := s.Database.Admin(t).Exec(t.Context(), "CREATE SCHEMA lamps; CREATE TABLE lamps.platform_version ()"); err != nil {
		t.Fatal(err)
	}
	if err := events.RecordModules(t.Context(), s.Database.MigrateURL("publisher")); err != nil {
		t.Error(err)
	}
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM bus WHERE modules = '{lamps,publisher,subscriber,tolls}'")
	expect("without both", "memory", both, "lamps, tolls")
	expect("all of them", "memory", append([]string{"lamps", "tolls"}, both...), "")
	if _, err := s.Database.Admin(t).Exec(t.Context(), "DROP SCHEMA lamps CASCADE; UPDATE publisher.bus SET modules = array_remove(array_remove(modules, 'lamps'), 'tolls')"); err != nil {
		t.Fatal(err)
	}
	expect("once they are taken out", "memory", both, "")
}
