package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
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

// queue returns a queue with defaults for k.
func (o *office) queue(k kind) *queue { return o.queueOn(o.db, k, o.now) }

// another returns a queue with connections of its own, like another process's.
func (o *office) another(k kind) *queue { return o.queueOn(o.pg.Module(o.t, "office"), k, o.now) }

func (o *office) queueOn(db *postgres.DB, k kind, now func() time.Time) *queue {
	k.Name = "letter"
	if k.Do == nil {
		k.Do = send
	}
	if k.FinishTx == nil {
		k.FinishTx = note
	}
	return jobs.NewQueue(db, k, o.cfg, slog.New(slog.DiscardHandler), now)
}

func send(_ context.Context, j job) (string, error) { return strings.ToUpper(j.Args.To), nil }

func note(_ context.Context, tx pgx.Tx, all []done) error {
	for _, d := range all {
		postgres.QueueSQL(tx, "-- name: NoteSent\nINSERT INTO sent (job, text) VALUES ($1, $2)", d.ID, d.Result)
	}
	return nil
}

// enqueue enqueues a letter to each address in one transaction.
func (o *office) enqueue(q *queue, to ...string) (ids []uuid.UUID) {
	o.t.Helper()
	return o.enqueueOn(o.db, q, to...)
}

// enqueueOn is enqueue on the connections of another process.
func (o *office) enqueueOn(db *postgres.DB, q *queue, to ...string) (ids []uuid.UUID) {
	o.t.Helper()
	var all []job
	for _, to := range to {
		ids = append(ids, uuid.Must(uuid.NewV7()))
		all = append(all, job{ID: ids[len(ids)-1], Key: to, Args: letter{to}})
	}
	if err := enqueueJobs(o.t.Context(), db, q, nil, all...); err != nil {
		o.t.Fatal(err)
	}
	return ids
}

// enqueueJobs enqueues the jobs in a transaction, which f ends.
func enqueueJobs(ctx context.Context, db *postgres.DB, q *queue, f func(pgx.Tx) error, all ...job) error {
	return db.InTx(ctx, func(tx pgx.Tx) error {
		for _, j := range all {
			if err := q.EnqueueTx(ctx, tx, j); err != nil {
				return err
			}
		}
		if f != nil {
			return f(tx)
		}
		return nil
	})
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

func (o *office) count(query string, args ...any) int {
	o.t.Helper()
	return pgtest.Count(o.t, o.db, query, args...)
}

// sent waits until all jobs but the dead are done, and checks that n jobs have one result each.
func (o *office) sent(n int) {
	o.t.Helper()
	pgtest.Until(o.t, "all jobs are done", func() bool {
		return o.count("SELECT count(*) FROM jobs WHERE dead_at IS NULL") == 0
	})
	if got := o.count("SELECT count(*) FROM sent"); got != n || got != o.count("SELECT count(DISTINCT job) FROM sent") {
		o.t.Errorf("%d results of %d jobs, want %d", got, o.count("SELECT count(DISTINCT job) FROM sent"), n)
	}
}

func many(n int) []string { return strings.Split(strings.Repeat("ada ", n-1)+"ada", " ") }

func TestEnqueue_BelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Concurrency = 1 // a place that is not released would stop everything
	var called atomic.Int32
	q := o.queue(kind{Do: func(ctx context.Context, j job) (string, error) {
		called.Add(1)
		return send(ctx, j)
	}})
	pgtest.Run(t, q.Run)
	o.enqueue(q, "ada") // the queue runs
	o.sent(1)
	changed := func(pgx.Tx) error { return errors.New("changed my mind") }
	if err := enqueueJobs(t.Context(), o.db, q, changed, job{ID: uuid.New()}); err == nil {
		t.Error("committed")
	}
	twice := job{ID: uuid.New()}
	err := enqueueJobs(t.Context(), o.db, q, nil, twice, twice)
	if err == nil || !strings.Contains(err.Error(), "EnqueueJobs: ERROR: duplicate key") {
		t.Errorf("the commit is refused: %v", err)
	}
	err = pgx.BeginFunc(t.Context(), o.db.Pool(), func(tx pgx.Tx) error { return q.EnqueueTx(t.Context(), tx, twice) })
	if err == nil || !strings.Contains(err.Error(), "not begun by the database of office") {
		t.Errorf("a transaction that db did not begin: %v", err)
	}
	o.enqueue(q, "bob")
	o.sent(2)
	if n := called.Load(); n != 2 {
		t.Errorf("called %d times for two jobs", n)
	}
}

// Check is called for a job that was tried before it was enqueued, and again after its error. What
// is done has the cause of the request that enqueued the job, whether it is claimed when it is
// written or by the poll.
func TestCheckAndCause(t *testing.T) {
	t.Parallel()
	o := setup(t)
	ctx := origin.With(t.Context(), origin.Request{CorrelationID: "r-1", Actor: "customer:ada"})
	type step struct {
		name  string
		cause events.Cause
	}
	var steps []step
	note := func(name string, cause events.Cause) { steps = append(steps, step{name, cause}) }
	q := o.queue(kind{
		Check: func(ctx context.Context, _ job) (string, bool, error) {
			if note("check", events.CauseOf(ctx)); len(steps) == 1 {
				return "", false, errors.New("no answer")
			}
			return "", false, nil
		},
		Do: func(ctx context.Context, j job) (string, error) {
			note("do", events.CauseOf(ctx))
			return send(ctx, j)
		},
		FinishTx: func(_ context.Context, _ pgx.Tx, all []done) error {
			note("finish", all[0].Cause)
			return nil
		},
	})
	enqueue := func(j job) {
		if err := enqueueJobs(ctx, o.db, q, nil, j); err != nil {
			t.Fatal(err)
		}
	}
	enqueue(job{ID: uuid.New(), Tries: 3})
	stop := pgtest.Run(t, q.Run)
	o.sent(0)
	enqueue(job{ID: uuid.New()})
	o.sent(0)
	stop()
	var want []step
	for _, name := range []string{"check", "check", "do", "finish", "do", "finish"} {
		want = append(want, step{name, events.CauseOf(ctx)})
	}
	if diff := cmp.Diff(want, steps, cmp.AllowUnexported(step{})); diff != "" {
		t.Error(diff)
	}
}
