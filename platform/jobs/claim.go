package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/backoff"
	"example.com/shop/platform/events"
	"example.com/shop/platform/failpoint"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// insert returns the statement that writes a transaction's jobs, and claims them for free places.
// During a canary a claim has to ask whose they are, so they are left to the poller.
func (q *Queue[A, R]) insert(jobs []*Job[A]) (sql string, args []any) {
	now, places := q.now().Truncate(time.Microsecond), 0 // PostgreSQL rounds, up too
	if !q.db.Side.Shared() {
		places = q.reserve(len(jobs))
	}
	for i, j := range jobs {
		j.Lease = now
		if j.claimed = i < places; j.claimed {
			j.Tries, j.Lease = j.Tries+1, now.Add(q.cfg.Lease)
		}
	}
	return `-- name: EnqueueJobs
		INSERT INTO jobs (id, kind, key, args, cause, tries, due_at)
		SELECT id, $1, key, args, cause, tries, due_at FROM jsonb_to_recordset($2) AS j
			(id uuid, key text, args jsonb, cause jsonb, tries integer, due_at timestamptz)`, []any{q.kind.Name, jobs}
}

// ended starts the jobs that were claimed when they were written.
func (q *Queue[A, R]) ended(jobs []*Job[A], committed bool) {
	for _, j := range jobs {
		switch {
		case j.claimed && committed:
			go q.do(*j)
		case j.claimed:
			q.release(1)
		case committed:
			q.claimWhenFree()
		}
	}
}

// reserve takes up to n free places and returns how many it took.
func (q *Queue[A, R]) reserve(n int) (places int) {
	for ; places < n; places++ {
		select {
		case <-q.places:
		default:
			return places
		}
	}
	return places
}

// claimAfter is how long the poller waits for more free places, so that one claim fills several:
// under a backlog they become free one by one.
const claimAfter = 10 * time.Millisecond

// release frees places, and wakes the poller if jobs may wait for them.
func (q *Queue[A, R]) release(places int) {
	for range places {
		q.places <- struct{}{}
	}
	if q.waiting.Swap(false) {
		time.AfterFunc(claimAfter, q.poller.Wake)
	}
}

func (q *Queue[A, R]) claimWhenFree() {
	q.waiting.Store(true)
	if len(q.places) > 0 {
		q.release(0)
	}
}

// claimDue claims as many of this side's due jobs as there are places, the longest due first, and
// starts them.
func (q *Queue[A, R]) claimDue(ctx context.Context) (more bool, err error) {
	places := q.reserve(q.cfg.Concurrency)
	if places == 0 {
		q.claimWhenFree()
		return false, nil
	}
	now := q.now()
	lease := now.Add(q.cfg.Lease)
	rows, err := q.db.Query(ctx, `-- name: ClaimJobs
		UPDATE jobs SET tries = tries + 1, due_at = $3 WHERE id = ANY (ARRAY (
			SELECT id FROM jobs WHERE kind = $1 AND due_at <= $2 AND dead_at IS NULL
				AND bucket_of(key) <@ (SELECT share_of($5, $1))
			ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED))
		RETURNING id, key, args, cause, tries`, q.kind.Name, now, lease, places, q.db.Side.Name())
	var claimed []Job[A]
	if err == nil {
		claimed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Job[A], error) {
			j := Job[A]{Lease: lease}
			var args, cause []byte
			err := row.Scan(&j.ID, &j.Key, &args, &cause, &j.Tries)
			j.unreadable = errors.Join(json.Unmarshal(args, &j.Args), json.Unmarshal(cause, &j.Cause))
			return j, err
		})
	}
	q.release(places - len(claimed))
	if err != nil { // a job claimed all the same is due again after the lease
		return false, fmt.Errorf("claim %s: %w", q.kind.Name, err)
	}
	for _, j := range claimed {
		go q.do(j)
	}
	if len(claimed) == places {
		q.claimWhenFree()
	}
	return false, nil
}

// do does one claimed job, commits its result, and frees its place.
func (q *Queue[A, R]) do(job Job[A]) {
	defer q.release(1)
	ctx := events.WithCause(context.Background(), job.Cause)
	failpoint.Here("claimed, not called")
	result, err := q.call(ctx, job)
	if err == nil {
		failpoint.Here("answered, not stored")
		err = q.finishWithin(ctx, Done[A, R]{job, result})
	}
	if err == nil {
		q.db.Side.Done(1)
	}
	queued, ok := errors.AsType[*postgres.QueuedError](err)
	switch {
	case err == nil:
	case ok && queued.SQL == finish && postgres.HasCode(err, divisionByZero):
		q.log.InfoContext(ctx, "result dropped: it is committed already, or the job has a later claim", "key", job.Key, "try", job.Tries)
	default:
		q.postpone(ctx, job, err)
	}
}

// finishWithin commits a result before the lease ends, again if a connection is lost: to do the job
// once more would repeat its call. A queue that stops does not try again.
func (q *Queue[A, R]) finishWithin(ctx context.Context, done Done[A, R]) (err error) {
	ctx, cancel := context.WithTimeout(ctx, done.Lease.Sub(q.now()))
	defer cancel()
	for {
		_, err = q.finish.Do(ctx, done)
		if err == nil || ctx.Err() != nil || q.stopping.Load() || !postgres.Transient(err) {
			return err
		}
		time.Sleep(backoff.After(1, q.cfg.BackoffFirst, q.cfg.BackoffFirst))
	}
}

// call runs Check and Do within the lease: a frozen process must not call beside the next claim.
func (q *Queue[A, R]) call(ctx context.Context, job Job[A]) (result R, err error) {
	defer process.Recover(&err)
	if job.unreadable != nil {
		return result, Dead(fmt.Errorf("read its row: %w", job.unreadable))
	}
	ctx, cancel := context.WithTimeout(ctx, job.Lease.Sub(q.now()))
	defer cancel()
	if job.Tries > 1 && q.kind.Check != nil {
		result, known, err := q.kind.Check(ctx, job)
		if known || err != nil {
			return result, err
		}
	}
	if ctx.Err() != nil {
		return result, fmt.Errorf("not started: the lease has run out: %w", ctx.Err())
	}
	return q.kind.Do(ctx, job)
}

// finish deletes jobs whose last claim has this number of tries, and fails by a division by zero if
// one has a later claim.
const finish = `-- name: FinishJobs
	WITH finished AS (DELETE FROM jobs WHERE id = ANY ($1) AND tries = $2 RETURNING 1)
	SELECT 1 / (count(*) = cardinality($1))::integer FROM finished`

const divisionByZero = "22012" // SQLSTATE

// finishTx commits results of jobs without a later claim. Otherwise the group runs each alone.
func (q *Queue[A, R]) finishTx(ctx context.Context, tx pgx.Tx, done []Done[A, R]) ([]postgres.Result[struct{}], error) {
	byTries := map[int][]uuid.UUID{}
	for _, d := range done {
		byTries[d.Tries] = append(byTries[d.Tries], d.ID)
	}
	for tries, ids := range byTries {
		postgres.QueueSQL(tx, finish, ids, tries)
	}
	return make([]postgres.Result[struct{}], len(done)), q.kind.FinishTx(ctx, tx, done)
}

// postpone ends the claim and records the failure and when to retry, unless there is a later claim.
func (q *Queue[A, R]) postpone(ctx context.Context, job Job[A], cause error) {
	_, dead := errors.AsType[deadError](cause)
	level, now := slog.LevelWarn, q.now()
	if dead {
		level = slog.LevelError
	}
	pause := backoff.After(job.Tries, q.cfg.BackoffFirst, q.cfg.BackoffMost)
	q.log.Log(ctx, level, "job failed",
		"key", job.Key, "try", job.Tries, "dead", dead, "again_in", pause.String(), "error", cause)
	ctx, cancel := context.WithTimeout(ctx, q.cfg.Lease)
	defer cancel()
	_, err := q.db.Exec(ctx, `-- name: PostponeJob
		UPDATE jobs SET due_at = $3, reason = $4, dead_at = CASE WHEN $5 THEN $6::timestamptz END
		WHERE id = $1 AND tries = $2`, job.ID, job.Tries, now.Add(pause), postgres.Reason(cause), dead, now)
	if err != nil {
		q.log.WarnContext(ctx, "job not postponed: it is due when its lease has run out", "key", job.Key, "error", err)
		return
	}
	time.AfterFunc(pause, q.poller.Wake)
}

// WithdrawTx deletes those of the jobs that were never claimed, and returns their ids.
func (q *Queue[A, R]) WithdrawTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (withdrawn []uuid.UUID, err error) {
	rows, err := tx.Query(ctx, `-- name: WithdrawJobs
		DELETE FROM jobs WHERE id = ANY ($1) AND tries = 0 RETURNING id`, ids)
	if err == nil {
		withdrawn, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	if err != nil {
		return nil, fmt.Errorf("withdraw %s: %w", q.kind.Name, err)
	}
	postgres.Uncarry(tx, &q.carrier, func(j *Job[A]) bool { // those that tx has enqueued
		ours := slices.Contains(ids, j.ID)
		if ours {
			withdrawn = append(withdrawn, j.ID)
		}
		return ours
	})
	return withdrawn, nil
}

// Redrive makes dead jobs of the pool's module due now, and returns how many it found among ids;
// without ids it redrives all.
func Redrive(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error) {
	tag, err := pool.Exec(ctx, `
		UPDATE jobs SET due_at = now(), dead_at = NULL
		WHERE dead_at IS NOT NULL AND ($1::uuid[] IS NULL OR id = ANY ($1))`, ids)
	if err != nil {
		return 0, fmt.Errorf("redrive jobs: %w", err)
	}
	return tag.RowsAffected(), nil
}
