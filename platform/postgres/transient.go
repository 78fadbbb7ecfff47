package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
)

// LockTimeout is PostgreSQL's code for a statement that has waited for a lock for too long.
const LockTimeout = "55P03"

// readOnly is PostgreSQL's code for a write to a server that takes none, such as a standby.
const readOnly = "25006"

// HasCode says whether PostgreSQL answered with one of the codes (appendix A of its documentation).
func HasCode(err error, codes ...string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pgErr.Code)
}

// Transient says that the database could not do it now and may do it later: it was not reached or
// was lost, has no room, shuts down, or ended the statement for the sake of others. Whether a
// statement that was under way took effect is unknown then. (SQLSTATE classes: PostgreSQL's
// documentation, appendix A.) What an HTTP client says, in a *url.Error, is another service's.
func Transient(err error) bool {
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
