package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/jobs"
	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // PostgreSQL keeps running
}

// letter is the tests' job. Its result, the address in upper case, is inserted into the table sent.
type letter struct {
	To string `json:"to"`
}

type (
	job   = jobs.Job[letter]
	done  = jobs.Done[letter, string]
	kind  = jobs.Kind[letter, string]
	queue = jobs.Queue[letter, string]
)

var schema = fstest.MapFS{"0001_sent.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE sent (job uuid NOT NULL, text text NOT NULL CHECK (text <> 'HELL'));
`)}}

// office is a module's database, and a clock for all its processes.
type office struct {
	t     *testing.T
	pg    *pgtest.DB
	db    *postgres.DB
	cfg   jobs.Config
	ahead atomic.Int64
}

// setup polls so rarely that no test may wait for it.
func setup(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, pg: pgtest.New(t, pgtest.Schema{Module: "office", Migrations: schema})}
	o.db = o.pg.Module(t, "office")
	o.cfg = jobs.Config{
		Concurrency: 4, Lease: time.Minute, Poll: time.Hour,
		BackoffFirst: time.Millisecond, BackoffMost: 20 * time.Millisecond,
	}
	return o
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

// queue returns a queue with connections of its own, like another process's, and defaults for k.
func (o *office) queue(k kind) *queue {
	o.t.Helper()
	return o.queueOn(o.pg.Module(o.t, "office"), k)
}

func (o *office) queueOn(db *postgres.DB, k kind) *queue {
	if k.Name == "" {
		k.Name = "letter"
	}
	if k.Do == nil {
		k.Do = send
	}
	if k.FinishTx == nil {
		k.FinishTx = note
	}
	return jobs.NewQueue(db, k, o.cfg, slog.New(slog.DiscardHandler), o.now)
}

func send(_ context.Context, j job) (string, error) { return strings.ToUpper(j.Args.To), nil }

func note(_ context.Context, tx pgx.Tx, all []done) error {
	for _, d := range all {
		postgres.QueueSQL(tx, "-- name: NoteSent\nINSERT INTO sent (job, text) VALUES ($1, $2)", d.ID, d.Result)
	}
	return nil
}

// run runs the queue until the test ends, or until stop is called, which waits for its end.
func (o *office) run(q *queue) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			o.t.Errorf("run: %v", err)
		}
	})
	o.t.Cleanup(stop)
	return stop
}

// enqueue enqueues a letter to each address in one transaction.
func (o *office) enqueue(db *postgres.DB, q *queue, to ...string) (ids []uuid.UUID) {
	o.t.Helper()
	err := db.InTx(o.t.Context(), func(tx pgx.Tx) error {
		for _, to := range to {
			ids = append(ids, uuid.Must(uuid.NewV7()))
			if err := q.EnqueueTx(o.t.Context(), tx, job{ID: ids[len(ids)-1], Key: to, Args: letter{to}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return ids
}

// insert writes a due job.
func (o *office) insert(kind, args string) (id uuid.UUID) {
	o.t.Helper()
	id = uuid.Must(uuid.NewV7())
	_, err := o.db.Exec(o.t.Context(), `INSERT INTO jobs (id, kind, key, args, cause, tries, due_at)
		VALUES ($1, $2, 'ada', $3, '{}', 0, $4)`, id, kind, args, o.now())
	if err != nil {
		o.t.Fatal(err)
	}
	return id
}

func (o *office) count(query string, args ...any) (n int) {
	o.t.Helper()
	if err := o.db.QueryRow(o.t.Context(), query, args...).Scan(&n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

func (o *office) until(what string, holds func() bool) {
	o.t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			o.t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// sent waits until all jobs but the dead are done, and checks that n jobs have one result each.
func (o *office) sent(n int) {
	o.t.Helper()
	o.until("all jobs are done", func() bool { return o.count("SELECT count(*) FROM jobs WHERE dead_at IS NULL") == 0 })
	if got := o.count("SELECT count(*) FROM sent"); got != n || got != o.count("SELECT count(DISTINCT job) FROM sent") {
		o.t.Errorf("%d results of %d jobs, want %d", got, o.count("SELECT count(DISTINCT job) FROM sent"), n)
	}
}

func many(n int) (to []string) {
	for range n {
		to = append(to, "ada")
	}
	return to
}

func TestEnqueue_BelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Concurrency = 1 // a place that is not released would stop everything
	q := o.queueOn(o.db, kind{})
	o.run(q)
	o.enqueue(o.db, q, "ada") // the queue runs
	o.sent(1)

	changed := errors.New("changed my mind")
	twice := uuid.New()
	for name, test := range map[string]struct {
		ids  []uuid.UUID
		end  error
		want string
	}{
		"rolled back":        {[]uuid.UUID{uuid.New()}, changed, "changed my mind"},
		"the commit refused": {[]uuid.UUID{twice, twice}, nil, "EnqueueJobs: ERROR: duplicate key"},
	} {
		err := o.db.InTx(t.Context(), func(tx pgx.Tx) error {
			for _, id := range test.ids {
				if err := q.EnqueueTx(t.Context(), tx, job{ID: id}); err != nil {
					return err
				}
			}
			return test.end
		})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	o.enqueue(o.db, q, "bob")
	o.sent(2)

	err := pgx.BeginFunc(t.Context(), o.db, func(tx pgx.Tx) error {
		return q.EnqueueTx(t.Context(), tx, job{ID: uuid.New()})
	})
	if err == nil || !strings.Contains(err.Error(), "not begun by the database of office") {
		t.Errorf("a transaction that db did not begin: %v", err)
	}
}

// Check is called for a job that was tried before it was enqueued, and again after its error.
func TestCheck(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var order []string
	q := o.queueOn(o.db, kind{
		Check: func(context.Context, job) (string, bool, error) {
			order = append(order, "check")
			if len(order) == 1 {
				return "", false, errors.New("no answer")
			}
			return "", false, nil
		},
		Do: func(ctx context.Context, j job) (string, error) {
			order = append(order, "do")
			return send(ctx, j)
		},
	})
	stop := o.run(q)
	err := o.db.InTx(t.Context(), func(tx pgx.Tx) error {
		return q.EnqueueTx(t.Context(), tx, job{ID: uuid.New(), Args: letter{"ada"}, Tries: 3})
	})
	if err != nil {
		t.Fatal(err)
	}
	o.sent(1)
	stop()
	if diff := cmp.Diff([]string{"check", "check", "do"}, order); diff != "" {
		t.Error(diff)
	}
}

// What a job does has the cause of the request that enqueued it.
func TestCause(t *testing.T) {
	t.Parallel()
	o := setup(t)
	caused := origin.With(t.Context(), origin.Request{CorrelationID: "r-1", Actor: "customer:ada"})
	want := events.CauseOf(caused)
	got := make(chan events.Cause, 4)
	q := o.queueOn(o.db, kind{
		Do: func(ctx context.Context, j job) (string, error) {
			got <- events.CauseOf(ctx)
			return send(ctx, j)
		},
		FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
			for _, d := range all {
				got <- d.Cause
			}
			return note(ctx, tx, all)
		},
	})
	enqueue := func() {
		err := o.db.InTx(t.Context(), func(tx pgx.Tx) error { return q.EnqueueTx(caused, tx, job{ID: uuid.New()}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	enqueue() // claimed by the poll, and the next when it is written
	o.run(q)
	o.sent(1)
	enqueue()
	o.sent(2)
	for range 4 {
		if diff := cmp.Diff(want, <-got); diff != "" {
			t.Error(diff)
		}
	}
}
