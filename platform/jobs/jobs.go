// Package jobs does a module's work outside of transactions, such as calling another system.
//
// It promises that a job is done at least once if the transaction that enqueued it commits, and
// that its result is committed once, whatever crashes in between:
//
//	use case ──┐ one transaction                       one transaction ┌── result
//	  state    │                                                       │   state, events
//	  job ─────┘──▶ claimed under a lease ──▶ Do, outside ──▶ finished ┴── job deleted
//	                   ▲                          │
//	                   └── when due: back-off ◀───┴── failed, or the lease ran out
//
// A result counts only if its claim is the job's last (fencing): that of a process which was thought
// dead is dropped.
//
// An external call is not exactly-once: a process may die between the call and the commit. So a job
// has one id for all its tries, to be the call's idempotency key, and a retry begins with Check.
// (Pattern: a queue with visibility timeouts and fencing tokens; Kleppmann, Designing
// Data-Intensive Applications, chapter 8.)
package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/worker"
)

// Job is one piece of work.
type Job[A any] struct {
	ID    uuid.UUID    `json:"id"`  // the idempotency key of external calls
	Key   string       `json:"key"` // the aggregate's id
	Args  A            `json:"args"`
	Cause events.Cause `json:"cause"`  // of what is published because of it
	Tries int          `json:"tries"`  // claims, this one included
	Lease time.Time    `json:"due_at"` // when the claim ends: no call begins after it

	claimed    bool  // by this process, when it was written
	unreadable error // why its row cannot be decoded
}

// Done is a job and its result.
type Done[A, R any] struct {
	Job[A]
	Result R
}

// Kind defines how jobs of one kind are done.
type Kind[A, R any] struct {
	Name string
	// Do does the job outside of any transaction; its context ends with the lease. After an error
	// the job is retried, unless the error is Dead.
	Do func(ctx context.Context, job Job[A]) (R, error)
	// Check, which may be nil, asks the external system for the result of earlier tries before a
	// retry. If none is known, Do follows.
	Check func(ctx context.Context, job Job[A]) (result R, known bool, err error)
	// FinishTx writes results, in a transaction that deletes their jobs with its first statement.
	FinishTx func(ctx context.Context, tx pgx.Tx, done []Done[A, R]) error
}

// Queue does a module's jobs of one kind. Any number of processes may run one.
type Queue[A, R any] struct {
	carrier  postgres.Carrier[*Job[A]]
	db       *postgres.DB
	kind     Kind[A, R]
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	poller   *worker.Worker
	finish   *postgres.Group[Done[A, R], struct{}]
	places   chan struct{} // free ones, one per concurrent job; none before and after Run
	waiting  atomic.Bool   // due jobs may have found no place
	stopping atomic.Bool   // Run is ending
}

// NewQueue returns the queue. Jobs may be enqueued at any time, and are done during Run.
func NewQueue[A, R any](
	db *postgres.DB, kind Kind[A, R], cfg Config, log *slog.Logger, now func() time.Time,
) *Queue[A, R] {
	q := &Queue[A, R]{db: db, kind: kind, cfg: cfg, log: log.With("job", kind.Name), now: now}
	db.Side.Knows(kind.Name)
	q.carrier = postgres.Carrier[*Job[A]]{Insert: q.insert, Ended: q.ended}
	q.places = make(chan struct{}, cfg.Concurrency)
	q.poller = worker.New("claim "+kind.Name, cfg.Poll, q.claimDue, log)
	q.finish = postgres.NewGroup(db, q.finishTx)
	return q
}

// Run does jobs until ctx ends, and finishes those under way.
func (q *Queue[A, R]) Run(ctx context.Context) error {
	q.stopping.Store(false)
	q.release(q.cfg.Concurrency)
	err := q.poller.Run(ctx)
	q.stopping.Store(true)
	for range q.cfg.Concurrency {
		<-q.places
	}
	return err
}

// EnqueueTx enqueues the job if tx commits. Its row is written with the commit, and claimed for
// this process if there is a free place. Its cause is ctx's. Tries is 0, but for a job that another
// queue has tried before. It fails if tx is not the module's.
func (q *Queue[A, R]) EnqueueTx(ctx context.Context, tx pgx.Tx, job Job[A]) error {
	job.Cause = events.CauseOf(ctx)
	if err := postgres.Carry(q.db, tx, &q.carrier, &job); err != nil {
		return fmt.Errorf("enqueue %s: %w", q.kind.Name, err)
	}
	return nil
}
