package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// LockTimeout is the SQLSTATE of a statement that has waited for a lock for too long.
const LockTimeout = "55P03"

// readOnly is the SQLSTATE of a write to a read-only server, such as a standby.
const readOnly = "25006"

// HasCode reports whether PostgreSQL answered with one of these SQLSTATEs.
func HasCode(err error, codes ...string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pgErr.Code)
}

// Transient reports whether the database may succeed later: it was not reached or was lost, is out
// of resources, shuts down, or ended the statement for the sake of others. Whether a statement
// under way took effect is then unknown. A *url.Error is another service's failure.
func Transient(err error) bool {
	if errors.Is(err, ErrMoving) || errors.Is(err, ErrMoved) {
		return true
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code[:min(2, len(pgErr.Code))] {
		case "08", "40", "53", "57": // connection; serialization or deadlock; out of resources; cancelled or shut down
			return true
		}
		if pgErr.Code == LockTimeout || pgErr.Code == readOnly {
			return true
		}
	}
	if _, elsewhere := errors.AsType[*url.Error](err); elsewhere {
		return false
	}
	_, notReached := errors.AsType[*pgconn.ConnectError](err)
	_, lost := errors.AsType[*net.OpError](err)
	return notReached || lost || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
