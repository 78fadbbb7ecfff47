package jobs_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/jobs"
)

// The pause ends by a wake, and not by the poll; and a poll finds nothing before it ends.
func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, poll := range []time.Duration{time.Hour, time.Millisecond} {
		t.Run(poll.String(), func(t *testing.T) {
			t.Parallel()
			o := setup(t)
			o.cfg.Poll = poll
			o.cfg.BackoffFirst, o.cfg.BackoffMost = 10*time.Millisecond, 40*time.Millisecond
			var tried []time.Time
			q := o.queue(kind{Do: func(ctx context.Context, j job) (string, error) {
				if tried = append(tried, time.Now()); len(tried) < 5 {
					return "", errors.New("no answer")
				}
				return send(ctx, j)
			}})
			stop := pgtest.Run(t, q.Run)
			o.enqueue(q, "ada")
			o.sent(1)
			stop()
			for i, least := range []time.Duration{5, 10, 20, 20} {
				if pause := tried[i+1].Sub(tried[i]); pause < least*time.Millisecond {
					t.Errorf("pause %d was %v", i+1, pause)
				}
			}
		})
	}
}

// Each of these fails its own job, with a reason, and delays no other.
func TestFailures(t *testing.T) {
	t.Parallel()
	do := func(fail func() error) kind {
		return kind{Do: func(ctx context.Context, j job) (string, error) {
			if j.Args.To == "hell" {
				return "", fail()
			}
			return send(ctx, j)
		}}
	}
	finish := func(fail func() error) kind {
		return kind{FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
			for _, d := range all {
				if d.Args.To == "hell" {
					return fail()
				}
			}
			return note(ctx, tx, all)
		}}
	}
	for name, test := range map[string]struct {
		kind   kind
		args   string
		reason string
		dead   bool
	}{
		"an error": {
			kind: do(func() error { return errors.New("no\x00answer \xff") }), reason: "noanswer ",
		},
		"a panic":                     {kind: do(func() error { panic("a bug") }), reason: "panic: a bug"},
		"a panic as it is committed":  {kind: finish(func() error { panic("a bug") }), reason: "panic: a bug"},
		"FinishTx refuses its result": {kind: finish(func() error { return errors.New("not it") }), reason: "not it"},
		"a queued statement fails":    {reason: "-- name: NoteSent: ERROR: new row for relation"},
		"arguments of another shape":  {args: `"text"`, dead: true, reason: "read its row: json: cannot unmarshal string"},
		"a permanent error": {
			kind: do(func() error { return jobs.Dead(errors.New("no such address")) }), dead: true, reason: "no such address",
		},
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
			stop := pgtest.Run(t, o.queue(test.kind).Run)
			pgtest.Until(t, "it has failed and the others are done", func() bool {
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

// A job that is redriven was tried before, so it begins with Check.
func TestRedrive(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Poll = time.Millisecond
	var mended atomic.Bool
	var asked atomic.Int64
	q := o.queue(kind{
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
	ids := o.enqueue(q, many(3)...)
	pgtest.Run(t, q.Run)
	dead := func() int { return o.count("SELECT count(*) FROM jobs WHERE dead_at IS NOT NULL AND tries = 1") }
	pgtest.Until(t, "they are dead", func() bool { return dead() == 3 })
	_, err := o.db.Exec(t.Context(), "UPDATE jobs SET dead_at = dead_at + interval '1 minute'") // a clock that is ahead
	if err != nil {
		t.Fatal(err)
	}
	mended.Store(true)
	if n, err := jobs.Redrive(t.Context(), o.db.Pool(), ids[0], uuid.New()); n != 1 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(1)
	if dead() != 2 {
		t.Errorf("%d are still dead", dead())
	}
	if n, err := jobs.Redrive(t.Context(), o.db.Pool()); n != 2 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(3)
	if asked.Load() != 3 {
		t.Errorf("checked %d of 3 retried jobs", asked.Load())
	}
}

// The connection is lost under the first commit of a result, after the call, which is not repeated;
// and then under each, while the queue stops, long before the lease ends.
func TestALostConnection(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var called, lost atomic.Int32
	failing := make(chan struct{}, 1000)
	q := o.queue(kind{
		Do: func(ctx context.Context, j job) (string, error) {
			called.Add(1)
			return send(ctx, j)
		},
		FinishTx: func(ctx context.Context, tx pgx.Tx, all []done) error {
			if n := lost.Add(1); n == 1 || n > 2 {
				failing <- struct{}{}
				_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
				return err
			}
			return note(ctx, tx, all)
		},
	})
	stop := pgtest.Run(t, q.Run)
	for n := 1; n <= 2; n++ {
		o.enqueue(q, "ada")
		<-failing
		if n == 1 {
			o.sent(1)
		}
		if got := called.Load(); int(got) != n {
			t.Errorf("called %d times for %d jobs", got, n)
		}
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took > o.cfg.Lease/2 {
		t.Errorf("it stopped after %s", took)
	}
}
