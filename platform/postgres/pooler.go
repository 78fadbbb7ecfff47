package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// A pooler in transaction mode, such as PgBouncer, gives each transaction whichever connection to
// the server is free. What belongs to a transaction is safe there. What belongs to a session is
// lost, or in another client's hands: a prepared statement, a lock, a SET, a LISTEN. So a module's
// pool prepares no statement by name there, and what needs a session refuses.
//
// PgBouncer needs at least two connections to the server for a module's role (default_pool_size)
// and each process that serves the module: a consumer that waits for its turn keeps one. Relay,
// requests and jobs share the rest, so more are faster. No startup parameter has to be ignored.

var errPooled = process.Usage(errors.New("this address is a pooler's, and what is to be done needs a session: " +
	"DATABASE_URL and every MIGRATE_URL must name the PostgreSQL server itself"))

// isPooled says whether the connection leads through a pooler: that gives each client a key of its
// own to cancel with, and in it a number that is no process of the server's. A pooler in session
// mode does the same.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var backend uint32
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&backend)
	return backend != conn.PgConn().PID(), err
}

// requireSession answers errPooled when the connection leads through a pooler.
func requireSession(ctx context.Context, conn *pgx.Conn) error {
	pooled, err := isPooled(ctx, conn)
	if err == nil && pooled {
		return errPooled
	}
	return err
}

// chooseExecMode connects once to find out how statements can be sent to this address: prepared by
// name, and so parsed once for each connection, or through a pooler parsed each time, and only the
// types of parameters are kept.
func chooseExecMode(ctx context.Context, cfg *pgx.ConnConfig) error {
	switch mode := cfg.DefaultQueryExecMode; {
	case mode == pgx.QueryExecModeExec, mode == pgx.QueryExecModeSimpleProtocol: // they do not know the types
		return process.Usage(fmt.Errorf("the address has default_query_exec_mode=%s, which cannot send every statement: "+
			"leave it out", strings.ReplaceAll(mode.String(), " ", "_")))
	case cfg.StatementCacheCapacity == 0, cfg.DescriptionCacheCapacity == 0:
		return process.Usage(errors.New("the address has a statement_cache_capacity or description_cache_capacity of 0: " +
			"leave it out"))
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pooled, err := isPooled(ctx, conn)
	if pooled {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return err
}
