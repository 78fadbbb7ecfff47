package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
)

const traceOfStaff = "0af7651916cd43dd8448eb211c80319c"

// asStaff is the context of a request by which staff changes something.
func asStaff(t *testing.T, what string) context.Context {
	t.Helper()
	id, err := trace.TraceIDFromHex(traceOfStaff)
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}}))
	return origin.With(ctx, origin.Request{CorrelationID: "r-7", Actor: "staff:grace", Action: what, Client: "192.0.2.7"})
}

// audited returns what is in the table audit, in order.
func audited(t *testing.T, db *postgres.DB) (all []string) {
	t.Helper()
	rows, err := db.Query(t.Context(), "SELECT concat_ws(' ', who, what, client, request_id, trace_id) FROM audit ORDER BY id")
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What staff changes has its row, however it is changed. What changes nothing has none, nor has
// what was rolled back, nor what others than staff have asked for.
func TestAChangeIsAudited(t *testing.T) {
	t.Parallel()
	db := newMarks(t).Module(t, "marks")
	mark := func(name string) func(pgx.Tx) error {
		return func(tx pgx.Tx) error { queueMark(tx, name); return nil }
	}
	errUndone := errors.New("undone")
	for name, change := range map[string]func(ctx context.Context) error{
		"+ in a transaction": func(ctx context.Context) error { return db.InTx(ctx, mark("a")) },
		"+ by a statement": func(ctx context.Context) error {
			_, err := db.Exec(ctx, insertMark, "b")
			return err
		},
		"+ by one that returns a row": func(ctx context.Context) error {
			return db.QueryRow(ctx, insertAgain, "c").Scan(new(string))
		},
		"+ by one that returns rows": func(ctx context.Context) error {
			rows, err := db.Query(ctx, insertAgain, "d")
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, pgx.RowTo[string])
			return err
		},
		"- by one that changes nothing": func(ctx context.Context) error {
			_, err := db.Exec(ctx, "DELETE FROM marks WHERE name = 'nobody'")
			return err
		},
		"- by a query": func(ctx context.Context) error { return db.QueryRow(ctx, countMarks).Scan(new(int)) },
		"- in a transaction that reads": func(ctx context.Context) error {
			return db.InTx(ctx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, countMarks).Scan(new(int)) })
		},
		"- in one without a statement": func(ctx context.Context) error {
			return db.InTx(ctx, func(pgx.Tx) error { return nil })
		},
		"- in one that is rolled back": func(ctx context.Context) error {
			err := db.InTx(ctx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, insertMark, "e")
				return errors.Join(err, errUndone)
			})
			if !errors.Is(err, errUndone) {
				return fmt.Errorf("rolled back with %w", err)
			}
			return nil
		},
		"- by a statement that fails": func(ctx context.Context) error {
			if _, err := db.Exec(ctx, insertMark, "bad"); err == nil {
				return errors.New("it does not fail")
			}
			return nil
		},
	} {
		before := len(audited(t, db))
		if err := change(asStaff(t, "POST /v1/"+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var want []string
		if strings.HasPrefix(name, "+") {
			want = []string{"staff:grace POST /v1/" + name + " 192.0.2.7 r-7 " + traceOfStaff}
		}
		if diff := cmp.Diff(want, append([]string(nil), audited(t, db)[before:]...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	before := len(audited(t, db))
	customer := origin.With(t.Context(), origin.Request{CorrelationID: "r-8", Actor: "customer:ada"})
	for _, ctx := range []context.Context{t.Context(), customer} {
		if err := db.InTx(ctx, mark(fmt.Sprint("of ", origin.From(ctx).Actor))); err != nil {
			t.Error(err)
		}
	}
	if n := len(audited(t, db)); n != before || marksOf(t, db) != 6 {
		t.Errorf("%d rows and %d marks, want %d and 6", n, marksOf(t, db), before)
	}
}

// Concurrent calls of a group have a row for each of staff that had an effect, and for no other.
func TestCallsOfAGroupAreAudited(t *testing.T) {
	t.Parallel()
	m := newMarker(t)
	names := []string{"a", "refused b", "c", "d", "nothing"}
	m.together(t, len(names), func(i int) {
		ctx := asStaff(t, "POST /v1/"+names[i])
		if names[i] == "d" {
			ctx = t.Context()
		}
		if _, err := m.Do(ctx, names[i]); err != nil && !errors.Is(err, errRefused) {
			t.Error(err)
		}
	}, func() {})
	got := strings.Join(audited(t, m.db), "\n")
	for what, want := range map[string]int{"POST": 2, "POST /v1/a ": 1, "POST /v1/c ": 1} {
		if n := strings.Count(got, what); n != want {
			t.Errorf("%q is there %d times, want %d:\n%s", what, n, want, got)
		}
	}
}

// The role that serves a module can neither change nor delete what was audited.
func TestTheAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	db := newMarks(t).Module(t, "marks")
	if _, err := db.Exec(asStaff(t, "POST /v1/marks"), insertMark, "a"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE audit SET who = ''", "DELETE FROM audit", "TRUNCATE audit"} {
		if _, err := db.Exec(t.Context(), statement); !postgres.HasCode(err, "42501") { // insufficient_privilege
			t.Errorf("%s: %v", statement, err)
		}
	}
	if n := len(audited(t, db)); n != 1 {
		t.Errorf("%d rows are left, want 1", n)
	}
}
