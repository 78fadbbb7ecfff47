// Package bench measures the shop: the real processes, the real module code and a PostgreSQL that
// syncs, each figure beside a reference that was taken in the same run on the same machine. A
// figure alone describes the machine; the ratio describes the shop.
//
// make bench and make bench-long write the report, deploy/PERFORMANCE.md, and make bench
// BASE=commit compares that commit with the tree. Without them the tests run for a moment only, two
// of them in make long SUITE=topologies, so that the code does not rot. Nothing here asserts a time:
// how long something takes is for people to judge.
package bench

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	machine "github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/process"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/tools/topology"
)

var (
	built string  // the commands of the tree, built once
	busy  float64 // the machine's load average before anything of ours ran: what else runs there is in every figure
)

// playing is the setting that makes this program another process of a run: the load, or one of the
// shops that are composed here.
const playing = "BENCH_PLAY"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if role := os.Getenv(playing); role != "" {
			return play(role)
		}
		before, err := machine.Avg()
		if err == nil {
			busy = before.Load1
			built, err = topology.Build(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(built)
		return m.Run()
	}())
}

func play(role string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	if role == playLoad {
		err = runLoad(ctx, os.Stdin, os.Stdout)
	} else {
		err = serveComposed(ctx, role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// size says how long everything is measured, and under what load. The shop takes orders faster than
// it sees them through: without a limit on those under way it would be measured how fast a queue
// grows. A row of the report, with twice as many clients and orders under way, shows whether the
// load is the limit.
type size struct {
	tried      []int         // numbers of pgbench's clients, of which the best is taken
	tryFor     time.Duration // each of them
	placeFor   time.Duration // orders, and the references
	delivered  int           // events at each rate, at least
	deliverFor time.Duration // events, at each rate, at least
	drained    int           // events
	clients    int           // that place as many orders as they can
	underWay   int           // orders of theirs that may be placed and not confirmed
	warmFor    time.Duration // a shop that has just started, and pgbench
	fillFor    time.Duration // a shop that is to confirm the most that it can
	sustainFor time.Duration // that, from then on
	paceFor    time.Duration // orders at a steady rate
}

var (
	moment = size{tried: []int{2}, tryFor: 200 * time.Millisecond, placeFor: 200 * time.Millisecond,
		deliverFor: 300 * time.Millisecond, drained: 400, clients: 4, underWay: 16, warmFor: 100 * time.Millisecond,
		fillFor: 100 * time.Millisecond, sustainFor: 600 * time.Millisecond, paceFor: 500 * time.Millisecond}
	full = size{tried: []int{4, 8, 16, 32, 64}, tryFor: 3 * time.Second, placeFor: 10 * time.Second,
		delivered: enough, deliverFor: 5 * time.Second, drained: 50_000, clients: 128, underWay: 512,
		warmFor: 3 * time.Second, fillFor: 10 * time.Second, sustainFor: 20 * time.Second,
		paceFor: (enough + pace) / pace * time.Second}
)

// bench is one run.
type bench struct {
	size
	began    time.Time
	server   *pgserver.Server
	bin      string // the folder of the shop's commands
	program  string // pgbench
	one      figure // ms: one placement by one client over HTTP
	raw      placed // the most that PostgreSQL alone places
	piped    placed // the same, with all statements of an order in one round trip
	rawWrote written
}

// newBench starts the PostgreSQL of the run: one server, with the settings of seam up, in which
// every shop and every reference has a database.
func newBench(t *testing.T, of size) *bench {
	t.Helper()
	began := time.Now()
	server, err := pgserver.Start(t.Context(), pgserver.Options{Durable: true, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return &bench{size: of, began: began, server: server, bin: built, program: besideServer(t, server, "pgbench")}
}

// besideServer is a program of the installation that the server runs from. A server in Docker has
// none that we could run.
func besideServer(t *testing.T, server *pgserver.Server, name string) string {
	t.Helper()
	postgres, err := process.NewProcessWithContext(t.Context(), int32(server.PID()))
	if err != nil {
		t.Fatal(err)
	}
	path, err := postgres.ExeWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(filepath.Dir(path), name)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("there is no %s beside PostgreSQL: install one with it on this machine", name)
	}
	return program
}

// writing says that this run is for the report. Any other one is short, and shares the machine with
// its like, because its figures mean nothing.
var writing = os.Getenv("BENCH") == "write"

// long skips a test outside of make long SUITE=topologies.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("it is run by make long SUITE=topologies")
	}
}

// say shows what is measured now.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// run runs a statement as the superuser, on the database of that URL.
func run(t *testing.T, url, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%v in %s", err, statement)
	}
}

// TestBench is make bench.
func TestBench(t *testing.T) {
	of := full
	if !writing {
		t.Parallel()
		of = moment
	}
	b := newBench(t, of)
	sections := append([]section{b.placing(t), b.delivery(t), b.backlog(t)}, b.confirming(t)...)
	b.publish(t, "bench", "make bench", sections)
}
