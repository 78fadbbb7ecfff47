package share_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/share"
)

func TestMain(m *testing.M) {
	if err := pgtest.Start(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // PostgreSQL keeps running
}

func open(t *testing.T) *postgres.DB {
	t.Helper()
	return pgtest.New(t, pgtest.Schema{Module: "parcels", Migrations: eventtest.Schema}).Module(t, "parcels")
}

func set(t *testing.T, db *postgres.DB, weights ...share.Weight) {
	t.Helper()
	if err := share.Set(t.Context(), db.Pool(), weights...); err != nil {
		t.Fatal(err)
	}
}

// run has the side beat.
func run(t *testing.T, db *postgres.DB, side *share.Side) {
	t.Helper()
	probe := postgres.NewProbe(db)
	t.Cleanup(probe.Close)
	pgtest.Run(t, func(ctx context.Context) error { return side.Run(ctx, probe.Ask, slog.New(slog.DiscardHandler)) })
}

func join(t *testing.T, db *postgres.DB, name string) *share.Side {
	t.Helper()
	side, err := share.Join(t.Context(), db, "parcels", name)
	if err != nil {
		t.Fatal(err)
	}
	return side
}

// The keys of 10,000 aggregates, and those of them that a side handles.
const (
	all  = "SELECT 'parcel-' || n AS key FROM generate_series(1, 10000) AS n"
	keys = "SELECT key FROM (" + all + ") AS k WHERE bucket_of(key) <@ share_of('%s', 'parcels.sent.v1')"
)

// Of 10,000 aggregates each side handles its percentage. More weight only adds aggregates to the
// new side, and each has one side.
func TestTheShareIsTheWeight(t *testing.T) {
	t.Parallel()
	db := open(t)
	count := func(query string) int { return pgtest.Count(t, db, "SELECT count(*) FROM ("+query+") AS counted") }
	before := "SELECT NULL::text WHERE false"
	for _, c := range []struct{ weight, least, most int }{{0, 0, 0}, {1, 50, 200}, {10, 500, 1500}, {50, 4500, 5500}, {100, 10000, 10000}} {
		set(t, db, share.Weight{Side: "old", Weight: 100 - c.weight}, share.Weight{Side: "new", Weight: c.weight})
		join(t, db, "old")
		join(t, db, "new")
		handled := fmt.Sprintf(keys, "new")
		n := count(handled)
		if n < c.least || n > c.most {
			t.Errorf("at %d %% the new side handles %d of 10000 aggregates", c.weight, n)
		}
		if old := count(fmt.Sprintf(keys, "old")); old != 10000-n {
			t.Errorf("at %d %% the sides handle %d and %d of 10000 aggregates", c.weight, old, n)
		}
		if lost := count("(" + before + ") EXCEPT " + handled); lost > 0 {
			t.Errorf("at %d %% %d aggregates went back to the old side", c.weight, lost)
		}
		before = fmt.Sprintf("SELECT key FROM (%s) AS k WHERE bucket_of(key) < %d", all, c.weight*100)
	}
	if n := count(fmt.Sprintf(keys, "stranger")); n > 0 {
		t.Errorf("a side without a weight handles %d aggregates", n)
	}
	set(t, db)
	if n := count(fmt.Sprintf(keys, "stranger")); n != 10000 {
		t.Errorf("without weights a side handles %d of 10000 aggregates", n)
	}
}

// A side that is silent is replaced by those that have a weight.
func TestASilentSideIsReplaced(t *testing.T) {
	t.Parallel()
	db := open(t)
	set(t, db, share.Weight{Side: "old", Weight: 60}, share.Weight{Side: "new", Weight: 40}, share.Weight{Side: "none", Weight: 0})
	old, _, _ := join(t, db, "old"), join(t, db, "new"), join(t, db, "none")
	expect := func(why string, want map[string]int) {
		t.Helper()
		// The others go on beating, however long this test takes.
		if _, err := db.Exec(t.Context(), "UPDATE sides SET beat_at = now() WHERE beat_at > now() - interval '1 hour'"); err != nil {
			t.Fatal(err)
		}
		for side, least := range want {
			n := pgtest.Count(t, db, "SELECT count(*) FROM ("+fmt.Sprintf(keys, side)+") AS counted")
			if n < least || least == 0 && n > 0 || n > least+1000 {
				t.Errorf("%s: %s handles %d of 10000 aggregates, want about %d", why, side, n, least)
			}
		}
	}
	expect("all are alive", map[string]int{"old": 5500, "new": 3500, "none": 0})
	if _, err := db.Exec(t.Context(), "UPDATE sides SET beat_at = now() - interval '2 hours' WHERE side = 'old'"); err != nil {
		t.Fatal(err)
	}
	expect("one was killed", map[string]int{"new": 10000, "none": 0})
	join(t, db, "old")
	expect("it is back", map[string]int{"old": 5500, "new": 3500, "none": 0})
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	join(t, db, "old") // another process of it
	expect("one of its processes was stopped", map[string]int{"old": 5500, "new": 3500, "none": 0})
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	pgtest.Until(t, "it was stopped", func() bool {
		return pgtest.Count(t, db, "SELECT count(*) FROM ("+fmt.Sprintf(keys, "new")+") AS counted") == 10000
	})
	for side, knows := range map[string]string{"old": "lamps.lit.v1", "new": "parcels.sent.v1"} {
		s := join(t, db, side)
		s.Knows(knows)
		if err := s.Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	expect("only one knows the topic", map[string]int{"old": 0, "new": 10000, "none": 0})
}

// A process starts if its side has a weight, or if no side has one and no other is alive.
func TestWhoMayServe(t *testing.T) {
	t.Parallel()
	db := open(t)
	refused := func(side, want string) {
		t.Helper()
		_, err := share.Join(t.Context(), db, "parcels", side)
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want a usage error with %q", side, err, want)
		}
	}
	old := join(t, db, "old")
	join(t, db, "old") // a second process of the same side
	refused("new", "old serves parcels, or did ten seconds ago, and SIDE is new: "+
		"make new a side of the route (seam route add parcels new URL [PROBE])")
	set(t, db, share.Weight{Side: "old", Weight: 100})
	refused("new", "shared by old=100")
	set(t, db, share.Weight{Side: "old", Weight: 100}, share.Weight{Side: "new", Weight: 0})
	join(t, db, "new")
	set(t, db, share.Weight{Side: "new", Weight: 100}) // for good
	refused("old", "shared by new=100")
	set(t, db)
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	pgtest.Until(t, "the other side is silent", func() bool {
		_, err := share.Join(t.Context(), db, "parcels", "new")
		return err == nil
	})
	for _, weight := range []int{0, 90} {
		if err := share.Set(t.Context(), db.Pool(), share.Weight{Side: "new", Weight: weight}); !errors.Is(err, process.ErrUsage) {
			t.Errorf("weights of %d: %v, want a usage error", weight, err)
		}
	}
}

// A process that is refused ends, and perhaps starts again and again. Its side does not look alive
// because of that, or the one that may serve would be refused when it restarts.
func TestASideThatIsRefusedStaysSilent(t *testing.T) {
	t.Parallel()
	db := open(t)
	set(t, db, share.Weight{Side: "old", Weight: 100}, share.Weight{Side: "new", Weight: 0})
	set(t, db)
	join(t, db, "old")
	side, err := share.Join(t.Context(), db, "parcels", "new")
	if !errors.Is(err, process.ErrUsage) {
		t.Errorf("beside another side: %v", err)
	}
	if err := side.Leave(t.Context()); err != nil { // as every process does that ends
		t.Fatal(err)
	}
	join(t, db, "old")
}

// What a side has handled is in the schema after its next beat, and counted anew when weights
// change.
func TestASideCounts(t *testing.T) {
	t.Parallel()
	db := open(t)
	set(t, db, share.Weight{Side: "old", Weight: 100})
	side := join(t, db, "old")
	side.Requested()
	side.Handled(20)
	side.Done(3)
	run(t, db, side)
	want := share.State{Side: "old", Weight: new(100), Alive: true, Requests: 1, Events: 20, Jobs: 3}
	read := func() share.State {
		states, err := share.Read(t.Context(), db.Pool())
		if err != nil || len(states) != 1 {
			t.Fatal(states, err)
		}
		return states[0]
	}
	pgtest.Until(t, "it has counted", func() bool {
		got := read()
		return got.Requests == want.Requests && got.Events == want.Events && got.Jobs == want.Jobs && got.Alive && *got.Weight == 100
	})
	set(t, db, share.Weight{Side: "old", Weight: 0}, share.Weight{Side: "new", Weight: 100})
	pgtest.Until(t, "it is idle", side.Idle)
	states, err := share.Read(t.Context(), db.Pool())
	if err != nil || len(states) != 2 || states[1].Events != 0 {
		t.Errorf("got %+v, %v, want counts that begin anew", states, err)
	}
}

// A side beats while requests exhaust the pool.
func TestABusySideIsNotSilent(t *testing.T) {
	t.Parallel()
	db := open(t)
	side := join(t, db, "old")
	var last *pgxpool.Conn // which the test asks on
	for range db.Pool().Config().MaxConns {
		var err error
		if last, err = db.Pool().Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(last.Release)
	}
	beat := func() (at time.Time) {
		if err := last.QueryRow(t.Context(), "SELECT beat_at FROM sides").Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	first := beat()
	run(t, db, side)
	pgtest.Until(t, "it beats again", func() bool { return beat().After(first.Add(500 * time.Millisecond)) })
}

// A loop runs only while its side is not idle, and again when it is not any more.
func TestAnIdleSideRunsNoLoops(t *testing.T) {
	t.Parallel()
	db := open(t)
	set(t, db, share.Weight{Side: "old", Weight: 100}, share.Weight{Side: "new", Weight: 0})
	side := join(t, db, "new")
	running := make(chan bool)
	run(t, db, side)
	pgtest.Run(t, side.While(func(ctx context.Context) error {
		running <- true
		<-ctx.Done()
		running <- false
		return nil
	}))
	select {
	case <-running:
		t.Fatal("a loop runs, and its side has weight 0")
	default:
	}
	for range 2 {
		set(t, db, share.Weight{Side: "old", Weight: 99}, share.Weight{Side: "new", Weight: 1})
		if !<-running {
			t.Fatal("it ended before it ran")
		}
		set(t, db, share.Weight{Side: "old", Weight: 100}, share.Weight{Side: "new", Weight: 0})
		if <-running {
			t.Fatal("it runs twice")
		}
	}
}
