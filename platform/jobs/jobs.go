// Package jobs does a module's work outside of transactions, such as calls to a payment provider or
// mails.
//
// It promises that a job is done at least once if the transaction that enqueued it commits, and
// that its result is committed once, whatever dies in between:
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
	ID    uuid.UUID    `json:"id"`  // the idempotency key outside
	Key   string       `json:"key"` // the aggregate's id
	Args  A            `json:"args"`
	Cause events.Cause `json:"cause"`  // of what is published because of it
	Tries int          `json:"tries"`  // claims, this one included
	Lease time.Time    `json:"due_at"` // when the claim ends: nothing is begun after it

	claimed    bool  // by this process, as it was written
	unreadable error // is why its row says something else
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
	// Check, which may be nil, asks the outside what became of earlier tries, before another one.
	// If it does not know of any, Do follows.
	Check func(ctx context.Context, job Job[A]) (result R, known bool, err error)
	// FinishTx commits results. The transaction has deleted the jobs ahead of its first statement.
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

// Queue does the jobs of one kind of a module. Any number of processes may run one.
type Queue[A, R any] struct {
	carrier postgres.Carrier[*Job[A]]
	db      *postgres.DB
	kind    Kind[A, R]
	cfg     Config
	log     *slog.Logger
	now     func() time.Time
	poller  *worker.Worker
	finish  *postgres.Group[Done[A, R], struct{}]
	places  chan struct{} // those that are free; none before Run, and none after it
	waiting atomic.Bool   // there may be due jobs that found no place
}

// NewQueue returns the queue. It does nothing before Run, and takes jobs at any time.
func NewQueue[A, R any](db *postgres.DB, kind Kind[A, R], cfg Config, log *slog.Logger, now func() time.Time) *Queue[A, R] {
	q := &Queue[A, R]{db: db, kind: kind, cfg: cfg, log: log.With("job", kind.Name), now: now}
	q.carrier = postgres.Carrier[*Job[A]]{Insert: q.insert, Ended: q.ended}
	q.places = make(chan struct{}, cfg.Concurrency)
	q.poller = worker.New("claim "+kind.Name, cfg.Poll, q.claimDue, log)
	q.finish = postgres.NewGroup(db, q.finishTx)
	return q
}

// Run does jobs until ctx ends, and finishes those under way.
func (q *Queue[A, R]) Run(ctx context.Context) error {
	q.release(q.cfg.Concurrency)
	err := q.poller.Run(ctx)
	for range q.cfg.Concurrency {
		<-q.places
	}
	return err
}

// EnqueueTx has the job done if tx commits. Its row is written with the commit, and claimed for
// this process if there is a place for it. Its cause is the context's, and Tries is 0 unless it was
// tried before it came here.
func (q *Queue[A, R]) EnqueueTx(ctx context.Context, tx pgx.Tx, job Job[A]) error {
	job.Cause = events.CauseOf(ctx)
	if err := postgres.Carry(q.db, tx, &q.carrier, &job); err != nil {
		return fmt.Errorf("enqueue %s: %w", q.kind.Name, err)
	}
	return nil
}
