package faults

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// footprint counts what the shop holds, by what and whose it is.
type footprint map[string]int

// slack is how many more goroutines and files than at first a process may have. Nothing is timed here, so what rests and is closed only
// later must not count: idle connections of the pools (half an hour), to the provider and between processes (30 seconds), each of them a
// file and up to two goroutines. A leak grows with the load: one for every twentieth of its orders is far more than that.
const slack = 100

// perProcess is how many connections a process may have to a schema: its pool's and two for delivery, which may all rest for half an hour.
const perProcess = 16 + 2

// givenBack is what a shop promises that has nothing more to do.
const givenBack = "what was held for the load is given back"

// baseline is what is held before the load. Call returns after it has settled.
func (s *shop) baseline(t *testing.T) footprint {
	t.Helper()
	base, err := s.footprint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// returnsTo waits until the shop holds no more than before.
func (s *shop) returnsTo(t *testing.T, base footprint) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		client.CloseIdleConnections() // the clients have gone
		now, err := s.footprint(t.Context())
		leaks := now.beyond(base)
		if err == nil && len(leaks) == 0 {
			t.Logf("held before and now: %s", now.beside(base))
			return
		}
		if time.Now().After(deadline) {
			s.finds(givenBack, "%s (%v)", strings.Join(leaks, ", "), err)
			return
		}
	}
}

// beyond names what is held too much of. A temporary file or a transaction that nobody ends is one too much.
func (f footprint) beyond(base footprint) (leaks []string) {
	processes, usual := 0, map[string]int{} // for a process that was not there at first
	for what := range f {
		if strings.HasPrefix(what, "goroutines") {
			processes++
		}
	}
	for what, count := range base {
		usual[kindOf(what)] = max(usual[kindOf(what)], count)
	}
	for _, what := range slices.Sorted(maps.Keys(f)) {
		most, known := base[what]
		if !known {
			most = usual[kindOf(what)]
		}
		switch kindOf(what) {
		case "goroutines", "files":
			most += slack
		case "connections":
			most = processes * perProcess
		}
		if f[what] > most {
			leaks = append(leaks, fmt.Sprintf("%s: %d, at first %d, at most %d", what, f[what], base[what], most))
		}
	}
	return leaks
}

func kindOf(what string) string {
	kind, _, _ := strings.Cut(what, " of ")
	return kind
}

func (f footprint) beside(base footprint) string {
	var each []string
	for _, what := range slices.Sorted(maps.Keys(f)) {
		each = append(each, fmt.Sprintf("%s %d %d", what, base[what], f[what]))
	}
	return strings.Join(each, ", ")
}

// footprint asks every process, and PostgreSQL about them.
func (s *shop) footprint(ctx context.Context) (footprint, error) {
	held := footprint{}
	for i, p := range s.Processes() {
		select {
		case <-p.Done():
			continue // it has ended, and holds nothing
		default:
		}
		name := fmt.Sprintf("of %s (%d)", p.Name, i)
		var err error
		if held["goroutines "+name], err = goroutines(ctx, p.OpsURL); err != nil {
			return nil, fmt.Errorf("goroutines %s: %w", name, err)
		}
		if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID())); err == nil { // there is none but on Linux
			held["files "+name] = len(files)
		}
	}
	rows, err := s.admin.Query(ctx, `
		SELECT 'connections of ' || usename, count(*) FROM pg_stat_activity WHERE usename LIKE '%\_rt' GROUP BY 1
		UNION ALL
		SELECT 'transactions of ' || usename, count(*) FROM pg_stat_activity WHERE usename LIKE '%\_rt' AND state LIKE 'idle in transaction%'
			AND xact_start < now() - interval '10 seconds' GROUP BY 1
		UNION ALL
		SELECT 'temporary files of PostgreSQL', count(*) FROM pg_ls_tmpdir()`)
	if err != nil {
		return nil, err
	}
	var what string
	var count int
	_, err = pgx.ForEachRow(rows, []any{&what, &count}, func() error {
		held[what] = count
		return nil
	})
	if err != nil {
		return nil, err
	}
	left, err := os.ReadDir(s.temp)
	held["temporary files of the processes"] = len(left)
	return held, err
}

// goroutines reads the first line of the profile: "goroutine profile: total 42".
func goroutines(ctx context.Context, opsURL string) (count int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, opsURL+"/debug/pprof/goroutine?debug=1", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	line, err := bufio.NewReader(response.Body).ReadString('\n')
	if err != nil {
		return 0, err
	}
	_, err = fmt.Sscanf(line, "goroutine profile: total %d", &count)
	return count, err
}

func TestALeakIsSeen(t *testing.T) {
	base := footprint{"goroutines of monolith (0)": 80, "connections of orders_rt": 4, "temporary files of the processes": 1}
	for name, test := range map[string]struct {
		now  footprint
		leak string
	}{
		"as at first":            {now: base},
		"a pool that is full":    {now: footprint{"goroutines of monolith (0)": 95, "connections of orders_rt": 18}},
		"a process that left":    {now: footprint{}},
		"goroutines":             {footprint{"goroutines of monolith (0)": 280}, "goroutines of monolith (0): 280, at first 80, at most 180"},
		"of a later process":     {footprint{"goroutines of payments (2)": 300}, "goroutines of payments (2)"},
		"connections":            {footprint{"goroutines of monolith (0)": 80, "connections of orders_rt": 19}, "connections of orders_rt: 19"},
		"one file":               {footprint{"temporary files of the processes": 2}, "temporary files of the processes: 2, at first 1, at most 1"},
		"an endless transaction": {footprint{"transactions of orders_rt": 1}, "transactions of orders_rt: 1"},
	} {
		got := strings.Join(test.now.beyond(base), "\n")
		if (got == "") != (test.leak == "") || !strings.Contains(got, test.leak) {
			t.Errorf("%s: it says %q, want %q", name, got, test.leak)
		}
	}
}
