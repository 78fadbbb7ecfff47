package move

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
)

// What is not acknowledged the kernel gives up (platform/postgres/dial.go). But a proxy that hangs
// acknowledges, and never answers. A statement that takes long does not answer either; which of the
// two it is shows whether the server answers others.
const (
	answerLimit = 4 * time.Second // for the server's answer to a new connection
	unanswered  = 3               // of them in a row are a server that is cut off
)

// watch calls cut once the server answers no connection any more, unless the context ends before.
func watch(ctx context.Context, address string, cut func()) {
	for missed := 0; missed < unanswered; {
		if answers(ctx, address) {
			missed = 0
			_ = pause(ctx, answerLimit)
		} else {
			missed++
		}
		if ctx.Err() != nil {
			return
		}
	}
	cut()
}

// answers reports whether the server answers a new connection, if only by a refusal.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	conn, err := postgres.Connect(ctx, address)
	if err == nil {
		_ = conn.Close(ctx) // it has answered
	}
	return !pgconn.Timeout(err)
}

// reachLimit bounds a statement in which a server connects to the other one, for which PostgreSQL
// would wait without an end.
const reachLimit = "statement_timeout = '10s'"

// reach runs such a statement.
func (s *side) reach(ctx context.Context, other *side, statement string) error {
	if err := s.exec(ctx, "SET "+reachLimit); err != nil {
		return err
	}
	if err := s.exec(ctx, statement); err != nil {
		return fmt.Errorf("let %s follow %s: %w", s.address, other.address, err)
	}
	return s.exec(ctx, "SET statement_timeout = 0")
}
