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
	"example.com/shop/platform/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the server stays
}

// letter is the work of these tests. Its result, the address in upper case, goes to the table sent.
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

// office is a module's schema, and a clock for all its processes.
type office struct {
	t     *testing.T
	pg    *pgtest.DB
	db    *postgres.DB
	cfg   jobs.Config
	ahead atomic.Int64
}

// setup polls so rarely that nothing may wait for it.
func setup(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, pg: pgtest.New(t, pgtest.Schema{Module: "office", Migrations: schema})}
	o.db = o.pg.Module(t, "office")
	o.cfg = jobs.Config{
		Concurrency: 4, Lease: time.Minute, BackoffFirst: time.Millisecond, BackoffMost: 20 * time.Millisecond, Poll: time.Hour,
	}
	return o
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

// queue is one of a process of its own. What the kind does not say is done as usual.
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

// run runs the queue until the test ends or stop is called, which waits for its end.
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

// enqueue commits a letter to each address in one transaction on the queue's own database.
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

// insert writes a job as another process would have left it.
func (o *office) insert(kind, args string) (id uuid.UUID) {
	o.t.Helper()
	id = uuid.Must(uuid.NewV7())
	_, err := o.db.Exec(o.t.Context(), `INSERT INTO jobs (id, kind, key, args, cause, tries, due_at) VALUES ($1, $2, 'ada', $3, '{}', 0, $4)`,
		id, kind, args, o.now())
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
			o.t.Fatalf("waited too long until %s", what)
		}
	}
}

// sent waits until no job is left but the dead, and checks that n results were committed, one for
// each job.
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
	o.cfg.Concurrency = 1 // a place that is not given back would stop everything
	q := o.queueOn(o.db, kind{})
	o.run(q)
	o.enqueue(o.db, q, "ada") // it runs
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

	err := pgx.BeginFunc(t.Context(), o.db, func(tx pgx.Tx) error { return q.EnqueueTx(t.Context(), tx, job{ID: uuid.New()}) })
	if err == nil || !strings.Contains(err.Error(), "not begun by the database of office") {
		t.Errorf("a transaction of something else: %v", err)
	}
}

// A job is claimed as it is written where the queue runs, and found by the poll where it does not,
// or where no place was free.
func TestClaim(t *testing.T) {
	t.Parallel()
	o := setup(t)
	var atOnce, most atomic.Int64
	q := o.queueOn(o.db, kind{Do: func(ctx context.Context, j job) (string, error) {
		most.Store(max(most.Load(), atOnce.Add(1)))
		defer atOnce.Add(-1)
		time.Sleep(time.Millisecond)
		if j.Tries != 1 {
			t.Errorf("claimed %d times", j.Tries)
		}
		return send(ctx, j)
	}})
	o.enqueue(o.db, q, many(30)...)
	if n := o.count("SELECT count(*) FROM jobs WHERE tries = 0"); n != 30 {
		t.Errorf("%d of 30 jobs wait", n)
	}
	o.run(q)
	o.sent(30)
	o.enqueue(o.db, q, many(30)...)
	o.sent(60)
	if most.Load() > int64(o.cfg.Concurrency) {
		t.Errorf("%d jobs at a time, and %d are allowed", most.Load(), o.cfg.Concurrency)
	}
}

// A job is due at once, also by a clock that stands still between two microseconds.
func TestDueAtOnce(t *testing.T) {
	t.Parallel()
	o := setup(t)
	now := time.Now().Truncate(time.Microsecond).Add(900)
	q := jobs.NewQueue(o.db, kind{Name: "letter", Do: send, FinishTx: note}, o.cfg, slog.New(slog.DiscardHandler), func() time.Time { return now })
	o.enqueue(o.db, q, "ada")
	o.run(q)
	o.sent(1)
}

func TestSlowJobsHoldUpNoOther(t *testing.T) {
	t.Parallel()
	o := setup(t)
	release := make(chan struct{})
	q := o.queueOn(o.db, kind{Do: func(ctx context.Context, j job) (string, error) {
		if j.Args.To == "slow" {
			<-release
		}
		return send(ctx, j)
	}})
	for range o.cfg.Concurrency - 1 {
		o.enqueue(o.db, q, "slow")
	}
	o.run(q)
	o.until("the slow ones are under way", func() bool { return o.count("SELECT count(*) FROM jobs WHERE tries = 1") == o.cfg.Concurrency-1 })
	o.enqueue(o.db, q, many(20)...)
	o.until("the others are done", func() bool { return o.count("SELECT count(*) FROM sent") == 20 })
	close(release)
	o.sent(19 + o.cfg.Concurrency)
}

func TestTwoProcessesShareTheJobs(t *testing.T) {
	t.Parallel()
	o := setup(t)
	o.cfg.Poll = time.Millisecond
	var did [2]atomic.Int64
	ids := o.enqueue(o.db, o.queueOn(o.db, kind{}), many(200)...)
	o.insert("parcel", `{}`) // is of another kind, which nobody does here
	for i := range did {
		o.run(o.queue(kind{Do: func(ctx context.Context, j job) (string, error) {
			did[i].Add(1)
			time.Sleep(time.Millisecond)
			return send(ctx, j)
		}}))
	}
	o.until("the letters are sent", func() bool { return o.count("SELECT count(DISTINCT job) FROM sent") == len(ids) })
	if did[0].Load() == 0 || did[1].Load() == 0 || did[0].Load()+did[1].Load() != int64(len(ids)) {
		t.Errorf("they did %d and %d of %d jobs", did[0].Load(), did[1].Load(), len(ids))
	}
	if n := o.count("SELECT count(*) FROM jobs WHERE kind = 'parcel' AND tries = 0"); n != 1 {
		t.Error("a job of another kind was claimed")
	}
}

// The first process is frozen after the call until its lease has gone to the second. That asks
// first. When the first goes on, neither its result nor its failure counts.
func TestLeaseRunsOut(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]error{
		"with a result": nil, "with a failure": errors.New("no answer"), "with a last word": jobs.Dead(errors.New("no")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := setup(t)
			called, thaw, asked, answer := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			frozen := o.queueOn(o.db, kind{Do: func(context.Context, job) (string, error) {
				close(called)
				<-thaw
				return "LATE", late
			}})
			o.insert("letter", `{}`)
			stop := o.run(frozen) // looks once
			<-called
			o.ahead.Store(int64(o.cfg.Lease))
			o.run(o.queue(kind{
				Check: func(context.Context, job) (string, bool, error) {
					close(asked)
					<-answer
					return "FOUND", true, nil
				},
				Do: func(context.Context, job) (string, error) {
					t.Error("called again without asking first")
					close(asked)
					return "", nil
				},
			}))
			<-asked
			close(thaw)
			stop()
			if n := o.count("SELECT count(*) FROM jobs WHERE tries = 2 AND due_at > $1 AND reason = '' AND dead_at IS NULL", o.now()); n != 1 {
				t.Error("the late one has changed what is another's now")
			}
			close(answer)
			o.sent(1)
			if n := o.count("SELECT count(*) FROM sent WHERE text = 'FOUND'"); n != 1 {
				t.Error("the late result was committed")
			}
		})
	}
}

// A process dies between the call and the commit, and its connections with it.
func TestProcessDies(t *testing.T) {
	t.Parallel()
	o := setup(t)
	dying, called := o.pg.Module(t, "office"), make(chan struct{})
	o.insert("letter", `{}`)
	stop := o.run(o.queueOn(dying, kind{Do: func(ctx context.Context, j job) (string, error) {
		close(called)
		dying.Close()
		return send(ctx, j)
	}}))
	<-called
	stop()
	o.ahead.Store(int64(o.cfg.Lease))
	asked := 0
	stop = o.run(o.queue(kind{Check: func(context.Context, job) (string, bool, error) {
		asked++
		return "", false, nil
	}}))
	o.sent(1)
	if stop(); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// What was tried before it came here is asked about as well, and again after an error.
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

// A process that sleeps past its lease before the call must not call at all.
func TestNoCallAfterTheLease(t *testing.T) {
	t.Parallel()
	o := setup(t)
	q := jobs.NewQueue(o.db, kind{
		Name: "letter", FinishTx: note,
		Do: func(context.Context, job) (string, error) {
			t.Error("called after the lease")
			return "", nil
		},
	}, o.cfg, slog.New(slog.DiscardHandler), func() time.Time { return time.Now().Add(time.Duration(o.ahead.Add(int64(o.cfg.Lease)))) })
	stop := o.run(q)
	o.insert("letter", `{}`)
	o.enqueue(o.db, q, "ada")
	o.until("it was given up", func() bool { return o.count("SELECT count(*) FROM jobs WHERE reason LIKE '%lease has run out%'") > 0 })
	stop()
}

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

// Each of these ends as a failure of its own job, with a reason, and holds up no other.
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
		"an error that stays": {
			kind: kind{Do: fail(func() error { return jobs.Dead(errors.New("no such address")) })}, dead: true, reason: "no such address",
		},
		"a panic": {
			kind: kind{Do: fail(func() error { panic("a bug") })}, reason: "panic: a bug",
		},
		"arguments of another shape": {
			args: `"text"`, dead: true, reason: "read its row: json: cannot unmarshal string",
		},
		"a result that is refused": {
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
				return o.count(`SELECT (SELECT count(*) FROM sent) + (SELECT count(*) FROM jobs WHERE id = $1 AND reason <> '')`, id) == 4
			})
			stop()
			var reason string
			var dead bool
			err := o.db.QueryRow(t.Context(), "SELECT reason, dead_at IS NOT NULL FROM jobs WHERE id = $1", id).Scan(&reason, &dead)
			if err != nil || dead != test.dead || !strings.HasPrefix(reason, test.reason) {
				t.Errorf("dead: %v, reason: %s (%v)", dead, reason, err)
			}
		})
	}
}

// fail does as usual, but for one address.
func fail(how func() error) func(context.Context, job) (string, error) {
	return func(ctx context.Context, j job) (string, error) {
		if j.Args.To == "hell" {
			return "", how()
		}
		return send(ctx, j)
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
	mended.Store(true)
	if n, err := jobs.Redrive(t.Context(), o.db.Pool, ids[0], uuid.New()); n != 1 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(1)
	if dead() != 2 {
		t.Errorf("%d are dead yet", dead())
	}
	if n, err := jobs.Redrive(t.Context(), o.db.Pool); n != 2 || err != nil {
		t.Errorf("redrove %d: %v", n, err)
	}
	o.sent(3)
	if asked.Load() != 3 {
		t.Errorf("asked about %d of 3 that had been tried", asked.Load())
	}
}

// Only a job that nobody has claimed can be taken back, also by the transaction that enqueues it.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	o := setup(t)
	called, release := make(chan struct{}), make(chan struct{})
	q := o.queueOn(o.db, kind{Do: func(ctx context.Context, j job) (string, error) {
		close(called)
		<-release
		return send(ctx, j)
	}})
	unclaimed := o.enqueue(o.db, q, "ada")[0]
	withdraw := func(ids ...uuid.UUID) (withdrawn []uuid.UUID) {
		err := o.db.InTx(t.Context(), func(tx pgx.Tx) (err error) {
			if err := q.EnqueueTx(t.Context(), tx, job{ID: ids[0]}); err != nil {
				return err
			}
			withdrawn, err = q.WithdrawTx(t.Context(), tx, ids)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return withdrawn
	}
	own := uuid.New()
	if diff := cmp.Diff([]uuid.UUID{unclaimed, own}, withdraw(own, unclaimed, uuid.New())); diff != "" {
		t.Error(diff)
	}
	o.run(q)
	claimed := o.enqueue(o.db, q, "ada")[0]
	<-called
	if diff := cmp.Diff([]uuid.UUID{own}, withdraw(own, claimed)); diff != "" {
		t.Error(diff)
	}
	close(release)
	o.sent(1)
}

// Run waits for what is under way, also for a transaction that has just claimed a job, and keeps
// the results.
func TestRunFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	o := setup(t)
	q := o.queueOn(o.db, kind{})
	stop := o.run(q)
	o.enqueue(o.db, q, "ada")
	o.sent(1)

	lock, err := o.pg.Admin(t).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE office.jobs IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	committed, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(committed)
		o.enqueue(o.db, q, "bob")
	}()
	o.until("its commit waits", func() bool {
		return o.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
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
	o.sent(2)

	o.enqueue(o.db, q, "eve")
	if n := o.count("SELECT count(*) FROM jobs WHERE tries = 0"); n != 1 {
		t.Error("a queue that has ended claims jobs")
	}
}

// What is done because of a job belongs to the request that enqueued it.
func TestCause(t *testing.T) {
	t.Parallel()
	o := setup(t)
	origin := events.WithOrigin(t.Context(), events.Origin{CorrelationID: "r-1", Actor: "customer:ada"})
	want := events.CauseOf(origin)
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
		err := o.db.InTx(t.Context(), func(tx pgx.Tx) error { return q.EnqueueTx(origin, tx, job{ID: uuid.New()}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	enqueue() // is claimed by the poll, and the next as it is written
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
