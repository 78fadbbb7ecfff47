package bench

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// usage is what each process used.
type usage struct {
	took float64 // seconds, by the clock
	by   []consumer
	load float64 // seconds of one core, by the load, which is no part of the shop
}

type consumer struct {
	process  string
	pid      int
	seconds  float64 // of one core
	megabyte float64 // resident, at the end; 0 for PostgreSQL, whose sessions share theirs
}

// meter reads the processor's time of processes before and after.
type meter struct {
	began time.Time
	spent []consumer
}

const (
	databaseServer = "PostgreSQL"
	worldOutside   = "provider and mail"
)

// meter begins to measure: the shop's processes, and what is around them.
func (s *shop) meter(t *testing.T) *meter {
	t.Helper()
	var of []consumer
	for _, p := range s.running() {
		of = append(of, consumer{process: p.Name, pid: p.PID()})
	}
	if s.composed != nil {
		of = append(of, consumer{process: s.name, pid: s.composed.PID()})
	}
	if s.Broker != nil {
		of = append(of, consumer{process: "broker", pid: s.Broker.PID()})
	}
	of = append(of, consumer{process: databaseServer, pid: s.bench.server.PID()},
		consumer{process: worldOutside, pid: s.Outside.PID()})
	for i := range of {
		of[i] = of[i].now(t)
	}
	return &meter{time.Now(), of}
}

// now reads what the process has used so far.
func (c consumer) now(t *testing.T) consumer {
	t.Helper()
	p, err := process.NewProcessWithContext(t.Context(), int32(c.pid))
	if err != nil {
		t.Fatal(err)
	}
	all := []*process.Process{p}
	c.seconds = 0
	if c.process == databaseServer {
		c.seconds = reaped(c.pid)
		sessions, err := p.ChildrenWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sessions...)
	} else {
		memory, err := p.MemoryInfoWithContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.megabyte = float64(memory.RSS) / (1 << 20)
	}
	for _, p := range all {
		if times, err := p.TimesWithContext(t.Context()); err == nil { // a session may have ended this moment
			c.seconds += times.User + times.System
		}
	}
	return c
}

// reaped is what those children of a process used that have ended: of PostgreSQL, the workers of
// autovacuum and sessions. It is 0 where there is no /proc.
func reaped(pid int) (seconds float64) {
	const children, ticks = 13, 100 // proc(5): cutime and cstime, counted from the state, behind the name in brackets
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	for _, field := range fields[children : children+2] {
		n, _ := strconv.ParseFloat(field, 64)
		seconds += n / ticks
	}
	return seconds
}

func (m *meter) stop(t *testing.T, load float64) usage {
	t.Helper()
	u := usage{took: time.Since(m.began).Seconds(), by: slices.Clone(m.spent), load: load}
	for i, before := range m.spent {
		u.by[i] = before.now(t)
		u.by[i].seconds -= before.seconds
	}
	return u
}

// seconds are those of all together, but for the load.
func (u usage) seconds() (sum float64) {
	for _, p := range u.by {
		sum += p.seconds
	}
	return sum
}

func (u usage) String() string {
	var parts []string
	for _, p := range u.by {
		part := fmt.Sprintf("%s %.2f cores", p.process, p.seconds/u.took)
		if p.megabyte > 0 {
			part += fmt.Sprintf(" and %.0f MB", p.megabyte)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%s, and apart from these the load %.2f cores", strings.Join(parts, ", "), u.load/u.took)
}

// written is what PostgreSQL has written, by its own counters.
type written struct {
	transactions float64 // that had anything to write or to lock
	kilobytes    float64 // of write-ahead log, with the pages that are written whole after a checkpoint
}

func (s *shop) written(t *testing.T) (w written) {
	t.Helper()
	err := s.admin.QueryRow(t.Context(), `SELECT pg_snapshot_xmax(pg_current_snapshot())::text::float8,
		pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 / 1000`).Scan(&w.transactions, &w.kilobytes)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w written) since(before written) written {
	return written{w.transactions - before.transactions, w.kilobytes - before.kilobytes}
}

// each is that for each of so many orders.
func (w written) each(orders int) written {
	return written{w.transactions / float64(orders), w.kilobytes / float64(orders)}
}

// beside compares what an order costs PostgreSQL with what another does.
func (w written) beside(what, reference string, is written) (transactions, wal row) {
	return row{what: what, unit: "transactions", ours: rate(w.transactions), beside: reference, reference: rate(is.transactions)},
		row{what: what, unit: "kB of WAL", ours: rate(w.kilobytes), beside: reference, reference: rate(is.kilobytes)}
}

// What an ended child has used is found in its parent.
func TestReaped(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("there is no /proc")
	}
	before := reaped(os.Getpid())
	child := exec.CommandContext(t.Context(), "/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	used := (child.ProcessState.UserTime() + child.ProcessState.SystemTime()).Seconds()
	if got := reaped(os.Getpid()) - before; got < used-0.02 { // it is counted in hundredths
		t.Errorf("%.2f s more after a child that used %.2f s", got, used)
	}
}
