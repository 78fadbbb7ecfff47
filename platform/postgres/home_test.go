package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// pair is two databases of the module marks, whose data moves from one to the other.
type pair struct {
	t        *testing.T
	from, to *pgtest.DB
	old, new *pgxpool.Pool // of a superuser
	role     string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{t: t, from: newMarks(t), to: newMarks(t)}
	p.old, p.new = p.from.Admin(t), p.to.Admin(t)
	cfg, err := pgx.ParseConfig(p.from.URL("marks"))
	if err != nil {
		t.Fatal(err)
	}
	p.role = cfg.User
	p.exec(p.old, "INSERT INTO marks.home VALUES (true, 'home', 1, gen_random_uuid(), $1)", p.address(p.to))
	p.exec(p.new, "INSERT INTO marks.home VALUES (true, 'standby', 0, gen_random_uuid(), $1)", p.address(p.from))
	p.exec(p.new, "REVOKE ALL ON marks.marks FROM "+p.role)
	return p
}

// address returns what a home record says of the other database.
func (p *pair) address(db *pgtest.DB) string {
	p.t.Helper()
	cfg, err := pgx.ParseConfig(db.AdminURL())
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("postgres://%s/%s", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port)), cfg.Database)
}

func (p *pair) exec(db *pgxpool.Pool, sql string, args ...any) {
	p.t.Helper()
	if _, err := db.Exec(context.Background(), sql, args...); err != nil {
		p.t.Fatal(err)
	}
}

// fence takes the right to write away from the old side, until the deadline.
func (p *pair) fence(deadline time.Duration) {
	p.t.Helper()
	p.exec(p.old, "UPDATE marks.home SET state = 'fencing', deadline = now() + $1::interval, grants = $2",
		deadline, "GRANT INSERT, UPDATE, DELETE ON marks.marks TO "+p.role+"; GRANT INSERT ON marks.audit TO "+p.role)
	p.exec(p.old, "REVOKE INSERT, UPDATE, DELETE ON marks.marks, marks.audit FROM "+p.role)
}

// open copies what there is and makes the new side the home.
func (p *pair) open() {
	p.t.Helper()
	p.exec(p.old, "REVOKE ALL ON marks.marks FROM "+p.role)
	p.exec(p.old, "UPDATE marks.home SET state = 'opening'")
	rows, err := p.old.Query(p.t.Context(), "SELECT name FROM marks.marks")
	if err != nil {
		p.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		p.t.Fatal(err)
	}
	p.exec(p.new, "INSERT INTO marks.marks SELECT unnest($1::text[])", names)
	p.exec(p.new, "GRANT SELECT, INSERT, UPDATE, DELETE ON marks.marks TO "+p.role)
	p.exec(p.new, "UPDATE marks.home SET state = 'home', epoch = 2")
	p.exec(p.old, "UPDATE marks.home SET state = 'standby'")
}

func (p *pair) follow(db *postgres.DB) {
	p.t.Helper()
	pgtest.Run(p.t, db.Follow)
}

// What is written while the data moves waits, by whichever way it is written, and is then in the
// new database, once. So are reads.
func TestStatementsFollowTheData(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	db := open(t, p.from.URL("marks"), 10)
	p.follow(db)
	group := postgres.NewGroup(db, func(_ context.Context, tx pgx.Tx, names []string) ([]postgres.Result[int], error) {
		for _, name := range names {
			postgres.QueueSQL(tx, insertMark, name)
		}
		return make([]postgres.Result[int], len(names)), nil
	})
	probe := postgres.NewProbe(db)
	defer probe.Close()
	writes := map[string]func(name string) error{
		"statement": func(name string) error { _, err := db.Exec(t.Context(), insertMark, name); return err },
		"row":       func(name string) error { return db.QueryRow(t.Context(), insertAgain, name).Scan(new(string)) },
		"rows": func(name string) error {
			rows, err := db.Query(t.Context(), insertAgain, name)
			if err != nil {
				return err
			}
			_, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
			return err
		},
		"queued": func(name string) error {
			return db.InTx(t.Context(), func(tx pgx.Tx) error { postgres.QueueSQL(tx, insertMark, name); return nil })
		},
		"after a read": func(name string) error {
			return db.InTx(t.Context(), func(tx pgx.Tx) error {
				if err := tx.QueryRow(t.Context(), countMarks).Scan(new(int)); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), insertMark, name)
				return err
			})
		},
		"beside the pool": func(name string) error { _, err := probe.Ask(t.Context(), insertAgain, name); return err },
		"group":           func(name string) error { _, err := group.Do(t.Context(), name); return err },
		"read":            func(string) error { return db.QueryRow(t.Context(), countMarks).Scan(new(int)) },
		"read of staff": func(string) error {
			return db.QueryRow(asStaff(t, "POST /v1/marks"), countMarks).Scan(new(int))
		},
	}
	var acknowledged atomic.Int64
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for way, write := range writes {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := write(fmt.Sprint(way, n)); err != nil {
					t.Errorf("%s: %v", way, err)
					return
				}
				if !strings.HasPrefix(way, "read") {
					acknowledged.Add(1)
				}
			}
		})
	}
	pgtest.Until(t, "they write", func() bool { return acknowledged.Load() > 100 })
	p.fence(time.Minute)
	time.Sleep(100 * time.Millisecond)
	waiting := acknowledged.Load()
	time.Sleep(50 * time.Millisecond)
	if n := acknowledged.Load(); n != waiting {
		t.Errorf("%d writes are acknowledged behind the fence", n-waiting)
	}
	p.open()
	pgtest.Until(t, "they write again", func() bool { return acknowledged.Load() > waiting+100 })
	close(stop)
	writers.Wait()
	n := 0
	if err := p.new.QueryRow(t.Context(), "SELECT count(*) FROM marks.marks").Scan(&n); err != nil || int64(n) != acknowledged.Load() {
		t.Errorf("%d marks are in the new database, and %d writes were acknowledged: %v", n, acknowledged.Load(), err)
	}
}

// A connection outside of the pool is closed when the data has moved; the next one leads there.
func TestAConnectionIsMadeAnew(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	db := open(t, p.from.URL("marks"), 2)
	conn, err := db.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.fence(time.Minute)
	p.open()
	write := func(tx pgx.Tx) error { postgres.QueueSQL(tx, insertMark, "a"); return nil }
	if err := db.InTxOn(t.Context(), conn, write); !errors.Is(err, postgres.ErrMoved) || !conn.IsClosed() {
		t.Fatalf("got %v, want ErrMoved", err)
	}
	if conn, err = db.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := db.InTxOn(t.Context(), conn, write); err != nil || marksOf(t, db) != 1 {
		t.Errorf("got %v and %d marks", err, marksOf(t, db))
	}
}

// A fence whose deadline is over is lifted by those who wait for it.
func TestAnExpiredFenceIsLifted(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	db := open(t, p.from.URL("marks"), 10)
	p.fence(300 * time.Millisecond)
	if _, err := db.Exec(t.Context(), insertMark, "a"); err != nil {
		t.Fatal(err)
	}
	var state string
	var epoch int
	if err := db.QueryRow(t.Context(), "SELECT state, epoch FROM home").Scan(&state, &epoch); err != nil || state != "home" || epoch != 2 {
		t.Errorf("it is %s of epoch %d: %v", state, epoch, err)
	}
}

// What the role may not do at home either fails at once, with or without a move.
func TestWhatIsForbiddenIsRefused(t *testing.T) {
	t.Parallel()
	never := open(t, newMarks(t).URL("marks"), 2)
	moving := open(t, newPair(t).from.URL("marks"), 2)
	for name, db := range map[string]*postgres.DB{"never moved": never, "moving": moving} {
		for _, sql := range []string{
			"DELETE FROM module_version", "UPDATE home SET state = 'home'", "INSERT INTO marker VALUES (gen_random_uuid())",
			"INSERT INTO home (grants) VALUES ('DROP TABLE marks')", // which lift_fence executes with the owner's rights
		} {
			began := time.Now()
			_, err := db.Exec(t.Context(), sql)
			if !postgres.HasCode(err, "42501") || time.Since(began) > 4*time.Second {
				t.Errorf("%s: %s: got %v after %s, want insufficient_privilege at once", name, sql, err, time.Since(began))
			}
		}
	}
}

// A process that starts, or has done nothing meanwhile, finds the new database by the old one's
// address, and goes on when the old one is no longer there.
func TestTheOldDatabaseIsGone(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	before := open(t, p.from.URL("marks"), 2)
	p.follow(before)
	p.fence(time.Minute)
	p.open()
	after := open(t, p.from.URL("marks"), 2)
	where := func(db *postgres.DB) string { return db.Pool().Config().ConnConfig.Database }
	if where(after) != p.to.Name {
		t.Errorf("a process that starts uses %s, want %s", where(after), p.to.Name)
	}
	p.exec(p.new, "ALTER DATABASE "+p.from.Name+" ALLOW_CONNECTIONS false")
	p.exec(p.new, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", p.from.Name)
	pgtest.Until(t, "the other process has followed", func() bool { return where(before) == p.to.Name })
	for _, db := range []*postgres.DB{before, after} {
		if _, err := db.Exec(t.Context(), insertAgain, "a"); err != nil {
			t.Error(err)
		}
	}
}

// A process that cannot open the database that the data may move to says so.
func TestADatabaseThatCannotBeOpenedIsNoted(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.exec(p.old, "UPDATE marks.home SET elsewhere = 'postgres://127.0.0.1:1/nowhere'")
	db := open(t, p.from.URL("marks"), 2)
	p.follow(db)
	if _, noted := errors.AsType[process.Note](db.Reaches()); !noted {
		t.Error("it says nothing")
	}
	p.exec(p.old, "UPDATE marks.home SET elsewhere = $1", p.address(p.to))
	pgtest.Until(t, "it can be opened", func() bool { return db.Reaches() == nil })
}

// After the end of a move the next one begins with the first epoch, and a process that knew of
// higher ones follows it.
func TestTheNextMoveIsFollowed(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	db := open(t, p.from.URL("marks"), 5)
	p.exec(p.old, "UPDATE marks.home SET epoch = 7")
	p.follow(db)
	seen := time.Second + 500*time.Millisecond // Follow looks once a second
	time.Sleep(seen)
	p.exec(p.old, "DELETE FROM marks.home")
	time.Sleep(seen)
	p.exec(p.old, "INSERT INTO marks.home VALUES (true, 'home', 1, gen_random_uuid(), $1)", p.address(p.to))
	p.fence(time.Minute)
	p.open()
	if _, err := db.Exec(t.Context(), insertMark, "a"); err != nil {
		t.Error(err)
	}
}
