// Package bench measures the shop: the real processes, the real module code and a PostgreSQL that syncs, each figure beside a reference that was
// taken in the same run on the same machine. A figure alone says what machine somebody had; the ratio says something about the shop.
//
// make bench and make bench-long write the report, deploy/PERFORMANCE.md. Without them the tests run for a moment only, so that the
// code does not rot. Nothing here asserts a time: how long something takes is for people to judge.
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
	"example.com/shop/topology"
)

var (
	bin  string  // the commands under test, built once
	busy float64 // the machine's load average before anything of ours ran: whoever else is at work there is in every figure
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if os.Getenv(playStock) != "" { // this is the shop on watermill's stock path, a process of its own as the others are
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			defer stop()
			if err := serveStock(ctx); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			return 0
		}
		before, err := machine.Avg()
		if err == nil {
			busy = before.Load1
			bin, err = topology.Build(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		return m.Run()
	}())
}

// size says how long everything is measured.
type size struct {
	placers    []int         // how many clients place orders at once
	placeFor   time.Duration // orders, for each number of clients and each reference
	deliverFor time.Duration // events, at each rate
	drained    int           // events
	warmFor    time.Duration // a shop that has just started
	fillFor    time.Duration // a shop that is to confirm the most that it can
	sustainFor time.Duration // that, from then on
	paceFor    time.Duration // orders at a steady rate
}

var (
	moment = size{placers: []int{1, 8}, placeFor: 200 * time.Millisecond, deliverFor: 300 * time.Millisecond, drained: 400,
		warmFor: 100 * time.Millisecond, fillFor: 100 * time.Millisecond, sustainFor: 600 * time.Millisecond, paceFor: 500 * time.Millisecond}
	full = size{placers: []int{1, 8, 32, 64}, placeFor: 3 * time.Second, deliverFor: 5 * time.Second, drained: 50_000,
		warmFor: 3 * time.Second, fillFor: 10 * time.Second, sustainFor: time.Minute, paceFor: 10 * time.Second}
)

// bench is one run.
type bench struct {
	size
	began   time.Time
	server  *pgserver.Server
	pgbench string  // the program
	raw     float64 // orders/s: the most that PostgreSQL alone placed
	bare    written // for an order that is only placed
}

// newBench starts the PostgreSQL of the run: one server, with the settings of seam up, in which every shop and every reference has a database.
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
	return &bench{size: of, began: began, server: server, pgbench: besideServer(t, server, "pgbench")}
}

// besideServer is a program of the installation that the server runs from. A server in Docker has none that we could run.
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

// say tells whoever waits what is measured now.
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
	of := moment
	if os.Getenv("BENCH") == "write" {
		of = full
	}
	b := newBench(t, of)
	sections := append([]section{b.placing(t), b.delivery(t), b.backlog(t)}, b.confirming(t)...)
	b.publish(t, "bench", "make bench", sections)
}
