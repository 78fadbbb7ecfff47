package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"
)

// usage is what each process used.
type usage struct {
	took float64 // seconds, by the clock
	by   []struct {
		process  string
		seconds  float64 // of one core
		megabyte float64 // resident, at the end; 0 for PostgreSQL, whose sessions share theirs, so that a sum would count it many times
	}
}

// meter reads the processor's time of processes before and after.
type meter struct {
	began time.Time
	names []string
	pids  []int
	spent []float64 // seconds
}

// meter begins to measure: the shop's processes, and what is around them.
func (s *shop) meter(t *testing.T) *meter {
	t.Helper()
	m := &meter{began: time.Now()}
	for _, p := range s.running() {
		m.names, m.pids = append(m.names, p.Name), append(m.pids, p.PID())
	}
	if s.stock != nil {
		m.names, m.pids = append(m.names, "stock"), append(m.pids, s.stock.PID())
	}
	if s.Broker != nil {
		m.names, m.pids = append(m.names, "broker"), append(m.pids, s.Broker.PID())
	}
	m.names = append(m.names, "PostgreSQL", "load, provider and mail")
	m.pids = append(m.pids, s.bench.server.PID(), os.Getpid())
	for i := range m.pids {
		seconds, _ := m.read(t, i)
		m.spent = append(m.spent, seconds)
	}
	return m
}

// read returns the processor's time so far, and the resident memory. A PostgreSQL is its sessions too, those
// that are open now: the pools keep theirs, but what a worker of autovacuum used is gone with it.
func (m *meter) read(t *testing.T, i int) (seconds, megabyte float64) {
	t.Helper()
	p, err := process.NewProcessWithContext(t.Context(), int32(m.pids[i]))
	if err != nil {
		t.Fatal(err)
	}
	all := []*process.Process{p}
	if m.names[i] == "PostgreSQL" {
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
		megabyte = float64(memory.RSS) / (1 << 20)
	}
	for _, p := range all {
		if times, err := p.TimesWithContext(t.Context()); err == nil { // a session may have ended this moment
			seconds += times.User + times.System
		}
	}
	return seconds, megabyte
}

func (m *meter) stop(t *testing.T) usage {
	t.Helper()
	u := usage{took: time.Since(m.began).Seconds()}
	u.by = slices.Grow(u.by, len(m.names))[:len(m.names)]
	for i := range m.names {
		seconds, megabyte := m.read(t, i)
		u.by[i].process, u.by[i].seconds, u.by[i].megabyte = m.names[i], seconds-m.spent[i], megabyte
	}
	return u
}

// seconds are those of all together.
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
	return strings.Join(parts, ", ")
}
