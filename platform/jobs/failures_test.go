package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/jobs"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.BackoffFirst, o.cfg.BackoffMost = 10*time.Millisecond, 40*time.Millisecond
	var tried []time.Time
	q := o.queueOn(o.db, kind{Do: func(ctx context.Context, j job) (string, error) {
		if tried = append(tried, time.Now()); len(tried) < 5 {
			return "", errors.New("no answer")
		}
		return send(ctx, j)
	}})
	stop := o.run(q)
	o.enqueue(o.db, q, "ada")
	o.sent(1)
	stop()
	for i, least := range []time.Duration{5, 10, 20, 20} {
		if pause := tried[i+1].Sub(tried[i]); pause < least*time.Millisecond {
			t.Errorf("pause %d was %v", i+1, pause)
		}
	}
}

// Each of these fails its own job, with a reason, and delays no other.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args   string
		kind   kind
		dead   bool
		reason string
	}{
		"an error": {
			kind: kind{Do: fail(func() error { return errors.New("no\x00answer \xff") })}, reason: "noanswer ",
		},
		"a permanent error": {
			kind: kind{Do: fail(func() error { return jobs.Dead(errors.New("no such address")) })},
			dead: true, reason: "no such address",
		},
		"a panic": {
			kind: kind{Do: fail(func() error { panic("a bug") })}, reason: "panic: a bug",
		},
		"arguments of another shape": {
			args: `"text"`, dead: true, reason: "read its row: json: cannot unmarshal string",
		},
		"a result that FinishTx refuses": {
			kind: kind{FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
				for _, d := range all {
					if d.Args.To == "hell" {
						return errors.New("not this one")
					}
				}
				return note(ctx, tx, all)
			}}, reason: "not this one",
		},
		"a panic as it is committed": {
			kind: kind{FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
				for _, d := range all {
					if d.Args.To == "hell" {
						panic("a bug")
					}
				}
				return note(ctx, tx, all)
			}}, reason: "panic: a bug",
		},
		"a queued statement that is refused": {reason: "-- name: NoteSent: ERROR: new row for relation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setup(t)
			o.cfg.BackoffFirst, o.cfg.BackoffMost = time.Hour, time.Hour
			if test.args == "" {
				test.args = `{"to": "hell"}`
			}
			id := o.insert("letter", test.args)
			for range 3 {
				o.insert("letter", `{"to": "ada"}`)
			}
			stop := o.run(o.queueOn(o.db, test.kind))
			o.until("it has failed and the others are done", func() bool {
				return o.count(`SELECT (SELECT count(*) FROM sent)
					+ (SELECT count(*) FROM jobs WHERE id = $1 AND reason <> '')`, id) == 4
			})
			stop()
			var reason string
			var dead bool
			err := o.db.QueryRow(t.Context(), "SELECT reason, dead_at IS NOT NULL FROM jobs WHERE id = $1", id).
				Scan(&reason, &dead)
			if err != nil || dead != test.dead || !strings.HasPrefix(reason, test.reason) {
				t.Errorf("dead: %v, reason: %s (%v)", dead, reason, err)
			}
		})
	}
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Poll = time.Millisecond
	var mended atomic.Bool
	var asked atomic.Int64
	q := o.queueOn(o.db, kind{
		Do: func(ctx context.Context, j job) (string, error) {
			if !mended.Load() {
				return "", jobs.Dead(errors.New("no such address"))
			}
			return send(ctx, j)
		},
		Check: func(context.Context, job) (string, bool, error) {
			asked.Add(1)
			return "", false, nil
		},
	})
	ids := o.enqueue(o.db, q, many(3)...)
	o.run(q)
	dead := func() int { return o.count("SELECT count(*) FROM jobs WHERE dead_at IS NOT NULL AND tries = 1") }
	o.until("they are dead", func() bool { return dead() == 3 })
	if _, err := o.db.Exec(t.Context(), "UPDATE jobs SET dead_at = dead_at + interval '1 minute'"); err != nil { // a clock that is ahead
		t.Fatal(err)
	}
	mended.Store(true)
	if n, err := jobs.Redrive(t.Context(), o.db.Pool, ids[0], uuid.New()); n != 1 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(1)
	if dead() != 2 {
		t.Errorf("%d are still dead", dead())
	}
	if n, err := jobs.Redrive(t.Context(), o.db.Pool); n != 2 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(3)
	if asked.Load() != 3 {
		t.Errorf("checked %d of 3 retried jobs", asked.Load())
	}
}

// fail returns send, failing for one address.
func fail(how func() error) func(context.Context, job) (string, error) {
	return func(ctx context.Context, j job) (string, error) {
		if j.Args.To == "hell" {
			return "", how()
		}
		return send(ctx, j)
	}
}

// The connection is lost under the first commit of the result, after the call.
func TestALostConnectionRepeatsNoCall(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var called, lost atomic.Int32
	q := o.queueOn(o.db, kind{
		Do: func(ctx context.Context, j job) (string, error) {
			called.Add(1)
			return send(ctx, j)
		},
		FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
			if lost.Add(1) == 1 {
				_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
				return err
			}
			return note(ctx, tx, all)
		},
	})
	o.run(q)
	o.enqueue(o.db, q, "ada")
	o.sent(1)
	if called.Load() != 1 {
		t.Errorf("called %d times", called.Load())
	}
}

// Nothing can be committed, and the queue stops long before the lease ends.
func TestAStopWaitsForNoDatabase(t *testing.T) {
	t.Parallel()
	o := setup(t)
	failing := make(chan struct{})
	failed := sync.OnceFunc(func() { close(failing) })
	q := o.queueOn(o.db, kind{FinishTx: func(ctx context.Context, tx pgx.Tx, _ []done) error {
		failed()
		_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		return err
	}})
	stop := o.run(q)
	o.enqueue(o.db, q, "ada")
	<-failing
	began := time.Now()
	stop()
	if took := time.Since(began); took > o.cfg.Lease/2 {
		t.Errorf("it stopped after %s", took)
	}
}
