package jobs_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/jobs"
)

// A job is claimed when it is written if its queue runs and has a free place, and else by the poll.
// Slow jobs keep their places and hold up no other.
func TestClaim(t *testing.T) {
	t.Parallel()
	o := setup(t)
	release := make(chan struct{})
	var atOnce, most atomic.Int64
	q := o.queue(kind{Do: func(ctx context.Context, j job) (string, error) {
		most.Store(max(most.Load(), atOnce.Add(1)))
		defer atOnce.Add(-1)
		time.Sleep(time.Millisecond)
		if j.Args.To == "slow" {
			<-release
		}
		if j.Tries != 1 {
			t.Errorf("claimed %d times", j.Tries)
		}
		return send(ctx, j)
	}})
	o.enqueue(q, slices.Concat(slices.Repeat([]string{"slow"}, o.cfg.Concurrency-1), many(30))...)
	if n := o.count("SELECT count(*) FROM jobs WHERE tries = 0"); n != 33 {
		t.Errorf("%d of 33 jobs wait", n)
	}
	pgtest.Run(t, q.Run)
	for n := 30; n <= 60; n += 30 {
		pgtest.Until(t, "the others are done", func() bool { return o.count("SELECT count(*) FROM sent") == n })
		o.enqueue(q, many(30)...)
	}
	close(release)
	o.sent(93)
	o.enqueue(q, many(30)...)
	o.sent(123)
	if most.Load() > int64(o.cfg.Concurrency) {
		t.Errorf("%d jobs at a time, and %d are allowed", most.Load(), o.cfg.Concurrency)
	}
}

// A job is due immediately, also by a clock that stands still between two microseconds.
func TestDueAtOnce(t *testing.T) {
	t.Parallel()
	o := setup(t)
	now := time.Now().Truncate(time.Microsecond).Add(900)
	q := o.queueOn(o.db, kind{}, func() time.Time { return now })
	o.enqueue(q, "ada")
	pgtest.Run(t, q.Run)
	o.sent(1)
}

func TestTwoProcessesShareTheJobs(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Poll = time.Millisecond
	var did [2]atomic.Int64
	var begun atomic.Int64
	both := make(chan struct{}) // else the first may do all before the second has connected
	ids := o.enqueue(o.queue(kind{}), many(200)...)
	o.insert("parcel", `{}`) // of another kind, which has no queue here
	for i := range did {
		pgtest.Run(t, o.another(kind{Do: func(ctx context.Context, j job) (string, error) {
			if did[i].Add(1) == 1 && begun.Add(1) == 2 {
				close(both)
			}
			select {
			case <-both:
			case <-ctx.Done():
			}
			time.Sleep(time.Millisecond)
			return send(ctx, j)
		}}).Run)
	}
	pgtest.Until(t, "the letters are sent", func() bool {
		return o.count("SELECT count(DISTINCT job) FROM sent") == len(ids)
	})
	if did[0].Load() == 0 || did[1].Load() == 0 || did[0].Load()+did[1].Load() != int64(len(ids)) {
		t.Errorf("they did %d and %d of %d jobs", did[0].Load(), did[1].Load(), len(ids))
	}
	if n := o.count("SELECT count(*) FROM jobs WHERE kind = 'parcel' AND tries = 0"); n != 1 {
		t.Error("a job of another kind was claimed")
	}
}

// The first process is frozen after the call until the second has claimed the job, which begins
// with Check. When the first continues, neither its result nor its failure counts.
func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]error{
		"with a result": nil, "with a failure": errors.New("no answer"), "with Dead": jobs.Dead(errors.New("no")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setup(t)
			called, thaw := make(chan struct{}), make(chan struct{})
			asked, answer := make(chan struct{}), make(chan struct{})
			o.insert("letter", `{}`)
			stop := pgtest.Run(t, o.queueOn(o.db, kind{Do: func(context.Context, job) (string, error) {
				close(called)
				<-thaw
				return "LATE", late
			}}, time.Now).Run) // polls once; by its own clock the lease has not run out
			<-called
			o.ahead.Store(int64(o.cfg.Lease))
			pgtest.Run(t, o.another(kind{
				Check: func(context.Context, job) (string, bool, error) {
					close(asked)
					<-answer
					return "FOUND", true, nil
				},
				Do: func(context.Context, job) (string, error) {
					t.Error("called again without Check")
					close(asked)
					return "", nil
				},
			}).Run)
			<-asked
			close(thaw)
			stop()
			const held = "SELECT count(*) FROM jobs WHERE tries = 2 AND due_at > $1 AND reason = '' AND dead_at IS NULL"
			if n := o.count(held, o.now()); n != 1 {
				t.Error("the late process has changed a job that it no longer holds")
			}
			close(answer)
			o.sent(1)
			if n := o.count("SELECT count(*) FROM sent WHERE text = 'FOUND'"); n != 1 {
				t.Error("the late result was committed")
			}
		})
	}
}

// A process that sleeps past its lease before the call does not call at all.
func TestNoCallAfterTheLease(t *testing.T) {
	t.Parallel()
	o := setup(t)
	q := o.queueOn(o.db, kind{Do: func(context.Context, job) (string, error) {
		t.Error("called after the lease")
		return "", nil
	}}, func() time.Time { return time.Now().Add(time.Duration(o.ahead.Add(int64(o.cfg.Lease)))) })
	stop := pgtest.Run(t, q.Run)
	o.enqueue(q, "ada")
	pgtest.Until(t, "it has failed", func() bool {
		return o.count("SELECT count(*) FROM jobs WHERE reason LIKE '%lease has run out%'") > 0
	})
	stop()
}

// Only a job that was never claimed is withdrawn, also by the transaction that enqueues it.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	o := setup(t)
	called, release := make(chan struct{}), make(chan struct{})
	q := o.queue(kind{Do: func(ctx context.Context, j job) (string, error) {
		close(called)
		<-release
		return send(ctx, j)
	}})
	own := uuid.New()
	withdraw := func(ids ...uuid.UUID) (withdrawn []uuid.UUID) {
		err := enqueueJobs(t.Context(), o.db, q, func(tx pgx.Tx) (err error) {
			withdrawn, err = q.WithdrawTx(t.Context(), tx, append(ids, own))
			return err
		}, job{ID: own})
		if err != nil {
			t.Fatal(err)
		}
		return withdrawn
	}
	unclaimed := o.enqueue(q, "ada")[0]
	if diff := cmp.Diff([]uuid.UUID{unclaimed, own}, withdraw(unclaimed, uuid.New())); diff != "" {
		t.Error(diff)
	}
	pgtest.Run(t, q.Run)
	claimed := o.enqueue(q, "ada")[0]
	<-called
	if diff := cmp.Diff([]uuid.UUID{own}, withdraw(claimed)); diff != "" {
		t.Error(diff)
	}
	close(release)
	o.sent(1)
}

// Run waits for jobs under way, also for one that an unfinished transaction has claimed.
func TestRunFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var claims atomic.Int64 // which ask for the time
	q := o.queueOn(o.db, kind{}, func() time.Time { claims.Add(1); return o.now() })
	stop := pgtest.Run(t, q.Run)
	pgtest.Until(t, "the first claim, which takes all places, is over", func() bool {
		return claims.Load() > 0 && jobs.Free(q) == o.cfg.Concurrency
	})

	lock, err := o.pg.Admin(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE office.jobs IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	committed, stopped := make(chan struct{}), make(chan struct{})
	go func() { defer close(committed); o.enqueue(q, "bob") }()
	pgtest.Until(t, "its commit waits", func() bool {
		return o.count(`SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%EnqueueJobs%'`) == 1
	})
	go func() { defer close(stopped); stop() }()
	select {
	case <-stopped:
		t.Error("Run has ended before the job that was claimed")
	case <-time.After(50 * time.Millisecond):
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-committed
	<-stopped
	o.sent(1)

	o.enqueue(q, "eve")
	if n := o.count("SELECT count(*) FROM jobs WHERE tries = 0"); n != 1 {
		t.Error("a queue that has ended claims jobs")
	}
}
