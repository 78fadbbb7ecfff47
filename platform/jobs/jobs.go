// Package jobs does a module's work outside of transactions, such as calls to a payment provider or
// mails.
//
// It promises that a job is done at least once if the transaction that enqueued it commits, and that
// its result is committed once, whatever dies in between:
//
//	use case ──┐ one transaction                       one transaction ┌── result
//	  state    │                                                       │   state, events
//	  job ─────┘──▶ claimed under a lease ──▶ Do, outside ──▶ finished ┴── job deleted, if the claim
//	                   ▲                          │                        is still the last
//	                   └── when due: back-off ◀───┴── failed, or the lease ran out
//
// Work outside is not exactly-once: a process may die between the call and the commit. So a job has
// one id for all its tries, which is the idempotency key outside, and from the second try on the
// outside is asked first. (Pattern: a queue with visibility timeouts and fencing tokens; Kleppmann,
// Designing Data-Intensive Applications, chapter 8.)
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Job is one piece of work.
type Job[A any] struct {
	ID    uuid.UUID // the idempotency key outside
	Key   string    // the aggregate's id
	Args  A
	Cause events.Cause // of what is published because of it
	Tries int          // claims, this one included
	Lease time.Time    // when the claim ends: nothing is begun after it
}

// Done is a job with its result.
type Done[A, R any] struct {
	Job[A]
	Result R
}

// Kind says how jobs of one kind are done.
type Kind[A, R any] struct {
	Name string
	// Do does the job outside of any transaction, before its context ends with the lease. After an
	// error the job is tried again, unless it is Dead.
	Do func(ctx context.Context, job Job[A]) (R, error)
	// Check, which may be nil, asks the outside what became of earlier tries, before another one. If
	// it does not know of any, Do follows.
	Check func(ctx context.Context, job Job[A]) (result R, known bool, err error)
	// FinishTx commits results. The jobs are deleted by the same transaction.
	FinishTx func(ctx context.Context, tx pgx.Tx, done []Done[A, R]) error
}

// Config is how many jobs are done at a time, and when.
type Config struct {
	Concurrency  int           // jobs under way in this process
	Lease        time.Duration // of a claim: how long a crash delays a job
	BackoffFirst time.Duration // the pause after a first failure, which doubles with each
	BackoffMost  time.Duration
	Poll         time.Duration // how often due jobs are looked for that this process does not know of
}

// Dead marks an error after which no later try will do better: the job waits for a person.
func Dead(err error) error { return deadError{err} }

type deadError struct{ error }

func (e deadError) Unwrap() error { return e.error }

var errFenced = errors.New("the job was claimed again meanwhile, and that claim's result counts")

// Queue does the jobs of one kind of a module. Any number of processes may run one.
type Queue[A, R any] struct {
	db     *postgres.DB
	kind   Kind[A, R]
	cfg    Config
	log    *slog.Logger
	now    func() time.Time
	poller *worker.Worker
	finish *postgres.Group[Done[A, R], struct{}]

	mu      sync.Mutex
	running bool
	free    int  // jobs that may be begun
	waiting bool // jobs that found none free, probably
	jobs    sync.WaitGroup
}

// NewQueue returns the queue. It does nothing before Run, and takes jobs at any time.
func NewQueue[A, R any](db *postgres.DB, kind Kind[A, R], cfg Config, log *slog.Logger, now func() time.Time) *Queue[A, R] {
	q := &Queue[A, R]{db: db, kind: kind, cfg: cfg, log: log.With("job", kind.Name), now: now, free: cfg.Concurrency}
	q.poller = worker.New("claim "+kind.Name, cfg.Poll, q.claimDue, log)
	q.finish = postgres.NewGroup(db, q.finishTx)
	return q
}

// Run does jobs until ctx ends, and finishes those under way.
func (q *Queue[A, R]) Run(ctx context.Context) error {
	q.setRunning(true)
	err := q.poller.Run(ctx)
	q.setRunning(false)
	q.jobs.Wait()
	return err
}

func (q *Queue[A, R]) setRunning(running bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = running
}

// EnqueueTx has the job done if tx commits. Its row is written with the commit, and claimed for this
// process if one more may be under way here.
func (q *Queue[A, R]) EnqueueTx(ctx context.Context, tx pgx.Tx, id uuid.UUID, key string, args A) error {
	job := &Job[A]{ID: id, Key: key, Args: args, Cause: events.CauseOf(ctx)}
	if err := postgres.Carry(q.db, tx, q, job); err != nil {
		return fmt.Errorf("enqueue %s: %w", q.kind.Name, err)
	}
	return nil
}

// Insert writes the jobs of one transaction, as postgres.Carrier asks for.
func (q *Queue[A, R]) Insert(jobs []*Job[A]) (sql string, args []any) {
	n, now := len(jobs), q.now()
	mine := q.reserve(n)
	ids, keys, tries := make([]string, n), make([]string, n), make([]int, n)
	all, causes, due := make([]A, n), make([]events.Cause, n), make([]time.Time, n)
	for i, j := range jobs {
		if i < mine {
			j.Tries, j.Lease = 1, now.Add(q.cfg.Lease)
		} else {
			j.Lease = now
		}
		ids[i], keys[i], tries[i], all[i], causes[i], due[i] = j.ID.String(), j.Key, j.Tries, j.Args, j.Cause, j.Lease
	}
	return `-- name: Enqueue
		INSERT INTO jobs (id, kind, key, args, cause, tries, due_at)
		SELECT id, $1, key, args, cause, tries, due_at
		FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::jsonb[], $6::integer[], $7::timestamptz[])
			AS j (id, key, args, cause, tries, due_at)`,
		[]any{q.kind.Name, ids, keys, all, causes, tries, due}
}

// Ended begins the jobs that were claimed as they were written.
func (q *Queue[A, R]) Ended(jobs []*Job[A], committed bool) {
	for _, j := range jobs {
		switch {
		case j.Tries == 0: // not claimed
			q.wakeWhenFree(committed)
		case committed:
			q.jobs.Go(func() { defer q.release(1); q.do(*j) })
		default:
			q.release(1)
		}
	}
}

// reserve takes up to n of the places for jobs under way.
func (q *Queue[A, R]) reserve(n int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.running {
		return 0
	}
	n = min(n, q.free)
	q.free -= n
	return n
}

// release gives places back. The poller is woken for several at once, because it claims in batches.
func (q *Queue[A, R]) release(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += n
	if q.waiting && q.free > q.cfg.Concurrency/4 {
		q.waiting = false
		q.poller.Wake()
	}
}

func (q *Queue[A, R]) wakeWhenFree(waiting bool) {
	if !waiting {
		return
	}
	q.mu.Lock()
	q.waiting = true
	q.mu.Unlock()
	q.release(0)
}

// claimDue claims as many due jobs as there are places, those first that have been due for longest.
func (q *Queue[A, R]) claimDue(ctx context.Context) (more bool, err error) {
	places := q.reserve(q.cfg.Concurrency)
	if places == 0 {
		q.wakeWhenFree(true)
		return false, nil
	}
	now := q.now()
	lease := now.Add(q.cfg.Lease)
	rows, err := q.db.Query(ctx, `-- name: Claim
		WITH due AS (
			SELECT id FROM jobs WHERE kind = $1 AND due_at <= $2 AND dead_at IS NULL
			ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
		UPDATE jobs SET tries = tries + 1, due_at = $3 FROM due WHERE jobs.id = due.id
		RETURNING jobs.id, jobs.key, jobs.args, jobs.cause, jobs.tries`, q.kind.Name, now, lease, places)
	var claimed []Job[A]
	var args [][]byte
	if err == nil {
		var j Job[A]
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&j.ID, &j.Key, &text, &j.Cause, &j.Tries}, func() error {
			j.Lease = lease
			claimed, args = append(claimed, j), append(args, text)
			j.Cause = nil // a map of its own for each
			return nil
		})
	}
	if err != nil { // what was claimed all the same is due when the lease has run out
		q.release(places)
		return false, fmt.Errorf("claim %s: %w", q.kind.Name, err)
	}
	for i, j := range claimed {
		err := json.Unmarshal(args[i], &j.Args)
		q.jobs.Go(func() {
			defer q.release(1)
			if err != nil {
				q.postpone(ctx, j, Dead(fmt.Errorf("read its arguments: %w", err)))
				return
			}
			q.do(j)
		})
	}
	q.release(places - len(claimed))
	return len(claimed) == places, nil
}

// do does one claimed job and commits what comes of it.
func (q *Queue[A, R]) do(job Job[A]) {
	ctx := events.WithCause(context.Background(), job.Cause)
	failpoint.Here("claimed, not called")
	result, err := q.call(ctx, job)
	failpoint.Here("answered, not stored")
	if err == nil {
		_, err = q.finish.Do(ctx, Done[A, R]{job, result})
	}
	if errors.Is(err, errFenced) {
		q.log.InfoContext(ctx, "result dropped", "key", job.Key, "try", job.Tries, "error", err)
		return
	}
	if err != nil {
		q.postpone(ctx, job, err)
	}
}

// call ends with the lease: a process that was frozen must not call late, beside the next claim.
func (q *Queue[A, R]) call(ctx context.Context, job Job[A]) (result R, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, job.Lease.Sub(q.now()))
	defer cancel()
	if job.Tries > 1 && q.kind.Check != nil {
		result, known, err := q.kind.Check(ctx, job)
		if known || err != nil {
			return result, err
		}
	}
	return q.kind.Do(ctx, job)
}

// finishTx deletes the jobs whose claim is still the last and commits their results.
func (q *Queue[A, R]) finishTx(ctx context.Context, tx pgx.Tx, done []Done[A, R]) ([]postgres.Result[struct{}], error) {
	ids, tries := make([]string, len(done)), make([]int, len(done))
	for i, d := range done {
		ids[i], tries[i] = d.ID.String(), d.Tries
	}
	rows, err := tx.Query(ctx, `-- name: Finish
		DELETE FROM jobs USING unnest($1::uuid[], $2::integer[]) AS d (id, tries)
		WHERE jobs.id = d.id AND jobs.tries = d.tries RETURNING jobs.id`, ids, tries)
	if err != nil {
		return nil, fmt.Errorf("finish %s: %w", q.kind.Name, err)
	}
	deleted, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("finish %s: %w", q.kind.Name, err)
	}
	ours := map[uuid.UUID]bool{}
	for _, id := range deleted {
		ours[id] = true
	}
	results := make([]postgres.Result[struct{}], len(done))
	var counted []Done[A, R]
	for i, d := range done {
		if ours[d.ID] {
			counted = append(counted, d)
		} else {
			results[i].Err = errFenced
		}
	}
	if len(counted) == 0 {
		return results, nil
	}
	return results, q.kind.FinishTx(ctx, tx, counted)
}

// postpone ends the claim and writes down why, and when the job is tried again. A claim that is not the last changes nothing.
func (q *Queue[A, R]) postpone(ctx context.Context, job Job[A], cause error) {
	_, dead := errors.AsType[deadError](cause)
	pause := worker.Backoff(job.Tries, q.cfg.BackoffFirst, q.cfg.BackoffMost)
	if dead {
		q.log.ErrorContext(ctx, "job is dead", "key", job.Key, "try", job.Tries, "error", cause)
	} else {
		q.log.WarnContext(ctx, "job failed", "key", job.Key, "try", job.Tries, "error", cause, "again_in", pause.String())
	}
	now := q.now()
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Lease)
	defer cancel()
	_, err := q.db.Exec(ctx, `-- name: Postpone
		UPDATE jobs SET due_at = $3, reason = $4, dead_at = CASE WHEN $5 THEN $6::timestamptz END
		WHERE id = $1 AND tries = $2`, job.ID, job.Tries, now.Add(pause), reasonOf(cause), dead, now)
	if err != nil {
		q.log.WarnContext(ctx, "job not postponed: it is tried again when its lease has run out", "key", job.Key, "error", err)
		return
	}
	time.AfterFunc(pause, q.poller.Wake)
}

// reasonOf is the beginning of an error, as PostgreSQL can store it.
func reasonOf(err error) string {
	reason := strings.ReplaceAll(err.Error(), "\x00", "")
	return strings.ToValidUTF8(reason[:min(len(reason), 2000)], "")
}

// WithdrawTx takes back a job that was never claimed, and reports whether it could.
func (q *Queue[A, R]) WithdrawTx(ctx context.Context, tx pgx.Tx, id uuid.UUID) (bool, error) {
	tag, err := tx.Exec(ctx, "DELETE FROM jobs WHERE id = $1 AND tries = 0", id)
	if err != nil {
		return false, fmt.Errorf("withdraw %s: %w", q.kind.Name, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Redrive has dead jobs of the pool's module tried again, starting now, and returns how many it found among ids; without ids it
// takes them all.
func Redrive(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error) {
	tag, err := pool.Exec(ctx, `
		UPDATE jobs SET due_at = now(), dead_at = NULL
		WHERE dead_at IS NOT NULL AND ($1::uuid[] IS NULL OR id = ANY ($1))`, ids)
	if err != nil {
		return 0, fmt.Errorf("redrive jobs: %w", err)
	}
	return tag.RowsAffected(), nil
}
