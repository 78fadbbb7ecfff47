package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// A pooler in transaction mode, such as PgBouncer, runs each transaction on any free connection to
// the server. A transaction's state is safe there; a session's is lost, or another client's: its
// prepared statements, locks, SET, LISTEN. So behind a pooler a module's pool prepares no statement
// by name, and what needs a session refuses to run.
//
// PgBouncer needs at least two connections to the server for a module's role (default_pool_size)
// and each process that serves the module: a consumer that waits for its lock keeps one. Relay,
// requests and jobs share the rest, so more are faster. No startup parameter has to be ignored.

var errPooled = process.Usage(errors.New("this address leads to a pooler, and a session is needed: " +
	"DATABASE_URL, every MIGRATE_URL and seam move --to must name the PostgreSQL server itself"))

// isPooled reports whether the connection goes through a pooler: that gives each client a cancel
// key of its own, whose process number is not the server's. A pooler in session mode does the same.
// It is the first question on a connection, and bounded as connecting is.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var backend uint32
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&backend)
	return backend != conn.PgConn().PID(), err
}

// connectFirst connects once, before a pool does so many times, and refuses what inspect refuses. It
// finds out how statements can be sent: prepared by name, and so parsed once per connection, or,
// through a pooler, parsed each time, caching only parameter types.
func connectFirst(ctx context.Context, cfg *pgx.ConnConfig, module string) error {
	switch mode := cfg.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeExec, mode == pgx.QueryExecModeSimpleProtocol: // without the types
		return process.Usage(fmt.Errorf("the address has default_query_exec_mode=%s, which cannot send every "+
			"statement: leave it out", strings.ReplaceAll(mode.String(), " ", "_")))
	case cfg.StatementCacheCapacity == 0, cfg.DescriptionCacheCapacity == 0:
		return process.Usage(errors.New("the address has a statement_cache_capacity or description_cache_capacity " +
			"of 0: leave it out"))
	}
	conn, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pooled, err := isPooled(ctx, conn)
	if err != nil {
		return err
	}
	if pooled {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return inspect(ctx, conn, module, "_rt")
}
