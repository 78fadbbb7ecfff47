package move

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// kept are the platform's tables that are not copied: each side has its own.
const kept = "('home', 'migrating', 'platform_version', 'module_version')"

// dataTables are the tables whose rows move. Of a partitioned table those are its partitions.
const dataTables = "SELECT oid, relname FROM pg_class " +
	"WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname NOT IN " + kept

// Seed makes the module's roles, schema and tables on the target, copies the rows and keeps the
// copy up to date from then on. It may be repeated, and goes on where an earlier one ended; so it
// also adds tables that migrations have made on both sides meanwhile.
func (m Move) Seed(ctx context.Context) error {
	plan, err := m.Plan(ctx)
	if err == nil {
		err = plan.Err()
	}
	if err != nil {
		return err
	}
	if !plan.Seeded {
		if err := m.provision(ctx, plan.provided); err != nil {
			return err
		}
	}
	source, target, err := m.openAlone(ctx)
	if err != nil {
		return err
	}
	defer source.close()
	defer target.close()
	// Again, because another move may have ended since the plan.
	here, there, err := records(ctx, source, target)
	if err != nil {
		return err
	}
	follows, err := target.hasSubscription(ctx, source.stream)
	if err != nil {
		return err
	}
	if (here.state != "" && here.state != atHome) || (there.state != "" && there.state != standby) || there.epoch > 0 && !follows {
		return process.Usage(fmt.Errorf("%s %s, and %s %s: seam move status says what to do", source.address, here, target.address, there))
	}
	subscribe := func(ctx context.Context) error { return m.subscribe(ctx, source, target, true) }
	if follows {
		subscribe = func(ctx context.Context) error {
			if err := target.withdraw(ctx); err != nil { // what migrations have granted since
				return err
			}
			if err := target.emptyNew(ctx, source.stream); err != nil {
				return err
			}
			return target.reach(ctx, source, "ALTER SUBSCRIPTION "+source.stream+" REFRESH PUBLICATION")
		}
	} else if err := m.stepTo(ctx, "begin", func(ctx context.Context) error { return m.begin(ctx, source, target) }); err != nil {
		return err
	}
	if err := m.stepTo(ctx, "publish", func(ctx context.Context) error { return m.publish(ctx, !follows, source, target) }); err != nil {
		return err
	}
	if err := m.stepTo(ctx, "subscribe", subscribe); err != nil {
		return err
	}
	return m.stepTo(ctx, "copy", func(ctx context.Context) error { return m.awaitCopy(ctx, source, target) })
}

func (m Move) stepTo(ctx context.Context, name string, do func(context.Context) error) error {
	return m.step(ctx, name, func(ctx context.Context) (string, error) { return "", do(ctx) })
}

// begin makes the target a standby and gives both sides their rows, so that processes know of the
// target and connect to it in time.
func (m Move) begin(ctx context.Context, source, target *side) error {
	if err := target.withdraw(ctx); err != nil {
		return err
	}
	if err := sameTables(ctx, source, target); err != nil {
		return err
	}
	move := literal(uuid.NewString())
	row := func(state, epoch, elsewhere string) string {
		return "INSERT INTO home (state, epoch, move, elsewhere) VALUES (" + literal(state) + ", " + epoch + ", " + move +
			", " + literal(elsewhere) + ") ON CONFLICT (singleton) DO NOTHING"
	}
	if err := target.exec(ctx, row(standby, "0", source.address)); err != nil {
		return err
	}
	// What the migrations have inserted comes with the copy.
	var tables string
	err := target.QueryRow(ctx, "SELECT string_agg(quote_ident(relname), ', ') FROM ("+dataTables+") AS tables").Scan(&tables)
	if err != nil {
		return err
	}
	if err := target.exec(ctx, "TRUNCATE "+tables); err != nil {
		return err
	}
	return source.exec(ctx, row(atHome, "1", target.address))
}

// emptyNew deletes the rows of the tables that are not followed yet: what migrations have inserted
// comes with the copy. Rows that follow already may refer to them, until then to nothing.
func (s *side) emptyNew(ctx context.Context, stream string) error {
	statements, err := s.ask(ctx, "SELECT coalesce(string_agg(format('DELETE FROM %I', relname), '; '), '') FROM ("+dataTables+`) AS tables
		WHERE oid NOT IN (SELECT srrelid FROM pg_subscription_rel JOIN pg_subscription AS s ON s.oid = srsubid WHERE subname = `+literal(stream)+")")
	if err != nil || statements == "" {
		return err
	}
	return s.exec(ctx, "SET LOCAL session_replication_role = replica; "+statements)
}

// publish names the tables on both sides, because the way back needs them, too. The streams of a
// new copy get a name of their own, which is in the comment of each publication: an old copy that
// was given up, and comes back, would read those of its own name.
func (m Move) publish(ctx context.Context, fresh bool, sides ...*side) error {
	id := uuid.NewString()[:8]
	for _, s := range sides {
		if fresh {
			if err := s.dropStreams(ctx); err != nil {
				return err
			}
			var err error
			s.stream, err = s.ask(ctx, fmt.Sprintf("CREATE PUBLICATION %[1]s; COMMENT ON PUBLICATION %[1]s IS '%[2]s'; "+
				"SELECT '%[1]s_' || oid || '_%[2]s' FROM pg_database WHERE datname = current_database()", m.publication(), id))
			if err != nil {
				return err
			}
		}
		tables, err := s.ask(ctx, "SELECT string_agg(quote_ident(current_schema()) || '.' || quote_ident(relname), ', ') FROM ("+dataTables+") AS tables")
		if err != nil {
			return err
		}
		if err := s.exec(ctx, "ALTER PUBLICATION "+m.publication()+" SET TABLE "+tables+"; "+m.publishing(everything)); err != nil {
			return err
		}
	}
	return nil
}

func (m Move) publication() string { return "move_" + m.Module }

const (
	nothing    = ""
	everything = "insert, update, delete, truncate"
)

// publishing returns a statement for what is published of the tables.
func (m Move) publishing(what string) string {
	return "ALTER PUBLICATION " + m.publication() + " SET (publish = " + literal(what) + ")"
}

// streamsOf is a condition for the names of a module's slots and subscriptions, whichever seed has
// made them.
func streamsOf(module string) string { return "~ " + literal("^move_"+module+"_[0-9]+(_[0-9a-f]+)?$") }

// dropStreams drops all that leads from this side to another one, or from there to here. The other
// one need not be there.
func (s *side) dropStreams(ctx context.Context) error {
	for _, drop := range []struct {
		query string
		one   func(ctx context.Context, name string) error
	}{
		{"SELECT subname::text FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = subdbid WHERE datname = current_database() AND subname " + streamsOf(s.module), s.unsubscribe},
		{"SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database() AND slot_name " + streamsOf(s.module), s.dropSlot},
	} {
		rows, _ := s.Query(ctx, drop.query) // CollectRows returns the error
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			err = errors.Join(err, drop.one(ctx, name))
		}
		if err != nil {
			return err
		}
	}
	return s.exec(ctx, "DROP PUBLICATION IF EXISTS "+"move_"+s.module)
}

// subscribe makes to follow from. The slot is made first, since CREATE SUBSCRIPTION would wait for
// its own transaction if both are on one server; and when nothing is to be copied, it is there
// already, from before the first write. There is no disable_on_error: it would also end a
// subscription whose connection was lost.
func (m Move) subscribe(ctx context.Context, from, to *side, copyRows bool) error {
	if copyRows {
		if err := from.makeSlot(ctx); err != nil {
			return err
		}
	}
	return to.reach(ctx, from, fmt.Sprintf("CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s WITH (create_slot = false, slot_name = %s, "+
		"copy_data = %t, synchronous_commit = off)",
		from.stream, literal(from.conninfo), m.publication(), literal(from.stream), copyRows))
}

func (s *side) makeSlot(ctx context.Context) error {
	return s.exec(ctx, "SELECT pg_create_logical_replication_slot("+literal(s.stream)+", 'pgoutput')")
}

// dropSlot drops a slot, if there is one, as soon as nobody reads it.
func (s *side) dropSlot(ctx context.Context, name string) error {
	for try := 0; ; try++ {
		_, err := s.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM (
			SELECT slot_name, pg_terminate_backend(active_pid) FROM pg_replication_slots
			WHERE slot_name = $1 AND database = current_database()) AS s`, name)
		if !postgres.HasCode(err, "55006") || try == 100 { // object_in_use
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitCopy returns when every table is copied and the target follows.
func (m Move) awaitCopy(ctx context.Context, source, target *side) error {
	for began := time.Now(); ; {
		f, err := m.followed(ctx, source, target)
		if err != nil {
			return err
		}
		if f.waits == "" {
			return nil
		}
		m.report("copying", time.Since(began), f.String()+f.failed)
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// pause waits, unless the context ends.
func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}
