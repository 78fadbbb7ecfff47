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

// insert writes the jobs of one transaction.
func (q *Queue[A, R]) insert(jobs []*Job[A]) (sql string, args []any) {
	now, places := q.now().Truncate(time.Microsecond), q.reserve(len(jobs)) // PostgreSQL rounds, up too
	for i, j := range jobs {
		j.Lease = now
		if j.claimed = i < places; j.claimed {
			j.Tries, j.Lease = j.Tries+1, now.Add(q.cfg.Lease)
		}
	}
	return `-- name: EnqueueJobs
		INSERT INTO jobs (id, kind, key, args, cause, tries, due_at)
		SELECT id, $1, key, args, cause, tries, due_at FROM jsonb_to_recordset($2)
			AS j (id uuid, key text, args jsonb, cause jsonb, tries integer, due_at timestamptz)`, []any{q.kind.Name, jobs}
}

// ended begins the jobs that were claimed as they were written.
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

// reserve takes up to n places for jobs.
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

// claimAfter is how long a place that is free again waits for others, so that one claim takes jobs
// for all of them: under a backlog, places become free one by one.
const claimAfter = 10 * time.Millisecond

// release gives places back, and has the poller look for jobs that found none.
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

// claimDue claims as many due jobs as there are places, those first that have been due for longest,
// and begins them.
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
			ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED))
		RETURNING id, key, args, cause, tries`, q.kind.Name, now, lease, places)
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
	if err != nil { // what was claimed all the same is due when the lease has run out
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

// do does one claimed job, commits what comes of it, and gives its place back.
func (q *Queue[A, R]) do(job Job[A]) {
	defer q.release(1)
	ctx := events.WithCause(context.Background(), job.Cause)
	failpoint.Here("claimed, not called")
	result, err := q.call(ctx, job)
	if err == nil {
		failpoint.Here("answered, not stored")
		_, err = q.finish.Do(ctx, Done[A, R]{job, result})
	}
	queued, ok := errors.AsType[*postgres.QueuedError](err)
	switch {
	case err == nil:
	case ok && queued.SQL == finish && postgres.HasCode(err, divisionByZero):
		q.log.InfoContext(ctx, "result dropped: a later claim's counts", "key", job.Key, "try", job.Tries)
	default:
		q.postpone(ctx, job, err)
	}
}

// call ends with the lease: a process that was frozen must not call late, beside the next claim.
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
		return result, fmt.Errorf("not begun: the lease has run out: %w", ctx.Err())
	}
	return q.kind.Do(ctx, job)
}

// finish deletes jobs whose claim is the last, of those that were claimed so often, and is refused,
// by a division by zero, if one is not.
const finish = `-- name: FinishJobs
	WITH finished AS (DELETE FROM jobs WHERE id = ANY ($1) AND tries = $2 RETURNING 1)
	SELECT 1 / (count(*) = cardinality($1))::integer FROM finished`

const divisionByZero = "22012" // PostgreSQL's code

// finishTx commits results whose jobs have no later claim. If one has, the group tries each alone.
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

// postpone ends the claim and writes down why, and when the job is tried again. A claim that is not
// the last changes nothing.
func (q *Queue[A, R]) postpone(ctx context.Context, job Job[A], cause error) {
	_, dead := errors.AsType[deadError](cause)
	level, now := slog.LevelWarn, q.now()
	if dead {
		level = slog.LevelError
	}
	pause := backoff.After(job.Tries, q.cfg.BackoffFirst, q.cfg.BackoffMost)
	q.log.Log(ctx, level, "job failed", "key", job.Key, "try", job.Tries, "dead", dead, "again_in", pause.String(), "error", cause)
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

// WithdrawTx takes back those of the jobs that were never claimed, and returns their ids.
func (q *Queue[A, R]) WithdrawTx(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) (withdrawn []uuid.UUID, err error) {
	rows, err := tx.Query(ctx, `-- name: WithdrawJobs
		DELETE FROM jobs WHERE id = ANY ($1) AND tries = 0 RETURNING id`, ids)
	if err == nil {
		withdrawn, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	}
	if err != nil {
		return nil, fmt.Errorf("withdraw %s: %w", q.kind.Name, err)
	}
	postgres.Uncarry(tx, &q.carrier, func(j *Job[A]) bool { // those that tx itself has enqueued
		ours := slices.Contains(ids, j.ID)
		if ours {
			withdrawn = append(withdrawn, j.ID)
		}
		return ours
	})
	return withdrawn, nil
}

// Redrive has dead jobs of the pool's module tried again, starting now, and returns how many it
// found among ids; without ids it takes them all.
func Redrive(ctx context.Context, pool *pgxpool.Pool, ids ...uuid.UUID) (int64, error) {
	tag, err := pool.Exec(ctx, `
		UPDATE jobs SET due_at = now(), dead_at = NULL
		WHERE dead_at <= now() AND ($1::uuid[] IS NULL OR id = ANY ($1))`, ids)
	if err != nil {
		return 0, fmt.Errorf("redrive jobs: %w", err)
	}
	return tag.RowsAffected(), nil
}
