package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/postgres"
)

// pooled returns the module marks, opened through a pooler.
func pooled(t *testing.T, login string, conns int32) *postgres.DB {
	t.Helper()
	return open(t, pooler.New(t, login).Through(login), conns)
}

// Transactions that outnumber the server connections keep their settings and locks to themselves.
func TestTransactionsThroughAPooler(t *testing.T) {
	t.Parallel()
	marks := pooled(t, newMarks(t).URL("marks"), 4*pooler.Size)
	if _, err := marks.Exec(t.Context(), "INSERT INTO marks VALUES ('0')"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 * pooler.Size {
		all.Go(func() {
			err := marks.InTx(t.Context(), func(tx pgx.Tx) error {
				postgres.QueueSQL(tx, "SELECT pg_advisory_xact_lock(1)")
				postgres.QueueSQL(tx, "SET LOCAL work_mem = '1MB'")
				// Read, then write: without the lock an update would be lost.
				var name, schema string
				err := tx.QueryRow(t.Context(),
					"SELECT max(name), current_schema()::text FROM marks WHERE $1::jsonb ? 'k'",
					map[string]string{"k": "v"}).Scan(&name, &schema)
				if err != nil {
					return err
				}
				if schema != "marks" {
					t.Errorf("the schema is %s", schema)
				}
				_, err = tx.Exec(t.Context(), "UPDATE marks SET name = ($1::int + 1)::text", name)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	var name, memory string
	err := marks.QueryRow(t.Context(), "SELECT name, current_setting('work_mem') FROM marks").Scan(&name, &memory)
	if err != nil {
		t.Fatal(err)
	}
	if name != "12" || memory == "1MB" {
		t.Errorf("%s transactions of 12 took effect, and work_mem is %s after them", name, memory)
	}
}

// A statement that is cancelled through a pooler ends on the server.
func TestAStatementIsCancelledThroughAPooler(t *testing.T) {
	t.Parallel()
	db := newMarks(t)
	marks := pooled(t, db.URL("marks"), 2)
	admin := db.Admin(t)
	running := func() (n int) {
		return pgtest.Count(t, admin, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep(%'
			AND pid <> pg_backend_pid()`)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- marks.InTx(ctx, func(tx pgx.Tx) error {
			postgres.QueueSQL(tx, "SET LOCAL statement_timeout = 0")
			_, err := tx.Exec(ctx, "SELECT pg_sleep(3600)")
			return err
		})
	}()
	pgtest.Until(t, "it runs", func() bool { return running() == 1 })
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the statement ended with %v", err)
	}
	pgtest.Until(t, "it has ended", func() bool { return running() == 0 })
}

// PgBouncer accepts clients although it cannot reach the server.
func TestAProbeAsksTheServerBehindAPooler(t *testing.T) {
	t.Parallel()
	for name, obstruct := range map[string]func(*wire.Wire){
		"gone":   (*wire.Wire).Cut,
		"frozen": func(w *wire.Wire) { t.Cleanup(w.Freeze()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			login, err := url.Parse(newMarks(t).URL("marks"))
			if err != nil {
				t.Fatal(err)
			}
			w := wire.To(t, login.Host)
			login.Host = w.Address()
			probe := postgres.NewProbe(pooled(t, login.String(), 1))
			t.Cleanup(probe.Close)
			if err := probe.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			obstruct(w)
			for range 3 {
				if probe.Check(t.Context()) == nil {
					t.Error("the probe succeeds without a server")
				}
			}
		})
	}
}

// What needs a session is refused before it changes anything.
func TestWhatNeedsASessionIsRefusedThroughAPooler(t *testing.T) {
	t.Parallel()
	db := newMarks(t)
	p := pooler.New(t, db.AdminURL(), db.MigrateURL("marks"))
	fresh := strings.Replace(p.Through(db.AdminURL()), "/"+db.Name, "/"+db.Name+"_fresh", 1)
	for name, err := range map[string]error{
		"migrate": postgres.Migrate(t.Context(), p.Through(db.MigrateURL("marks")), schema),
		"provision": postgres.Provision(t.Context(), p.Through(db.AdminURL()),
			postgres.Plan{Modules: []string{"marks"}, Secret: "x"}),
		"provision a database": postgres.Provision(t.Context(), fresh, postgres.Plan{Modules: []string{"marks"}, Secret: "x"}),
	} {
		expectUsage(t, name, err, "name the PostgreSQL server itself")
	}
	var made bool
	err := db.Admin(t).QueryRow(t.Context(),
		"SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", db.Name+"_fresh").Scan(&made)
	if err != nil || made {
		t.Errorf("the database was created: %v, error %v", made, err)
	}
}

// A server that takes the first question and never answers it does not hold an admin's command.
func TestAnAdminsConnectionIsBounded(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(newMarks(t).URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	silent := wire.To(t, address.Host)
	silent.Change = func(passing []byte) []byte {
		if bytes.Contains(passing, []byte("pg_backend_pid")) {
			return nil
		}
		return passing
	}
	address.Host = silent.Address()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := postgres.ConnectAdmin(ctx, address.String()); !pgconn.Timeout(err) || ctx.Err() != nil {
		t.Errorf("it waits: %v, %v", err, ctx.Err())
	}
}
