package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/lab/ask"
)

// footprint counts the resources that the shop holds, by kind and owner.
type footprint map[string]int

// slack is how many more than at first a process may have: idle connections, each a file, are
// closed only later (pools: half an hour; to the provider and between processes: 30 seconds). A
// leak grows with every load.
var slack = map[string]int{"goroutines": 10, "files": 100}

// perProcess is how many connections a process may have to a schema that it serves: its pool's, two
// for delivery and one for readiness.
const perProcess = 8 + 3

// resourcesFreed is the rule of an idle shop.
const resourcesFreed = "what was held for the load is released"

// baseline records the footprint before the first load: what each load leaks adds up.
func (s *shop) baseline(t *testing.T) {
	t.Helper()
	if s.base != nil {
		return
	}
	var err error
	if s.base, err = s.footprint(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// returnsToBase waits until the shop holds no more than at first.
func (s *shop) returnsToBase(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		client.CloseIdleConnections()
		now, err := s.footprint(t.Context())
		leaks := now.beyond(s.base)
		if err == nil && len(leaks) == 0 {
			t.Logf("held at first and now: %s", now.beside(s.base))
			return
		}
		if time.Now().After(deadline) {
			s.finds(resourcesFreed, "%s (%v)", strings.Join(leaks, ", "), err)
			return
		}
	}
}

// beyond returns what the shop holds too many of: of temporary files and old transactions, any.
func (f footprint) beyond(base footprint) (leaks []string) {
	usual := map[string]int{} // for a process that was not there at first
	for what, count := range base {
		usual[kindOf(what)] = max(usual[kindOf(what)], count)
	}
	for _, what := range slices.Sorted(maps.Keys(f)) {
		kind, owner, _ := strings.Cut(what, " of ")
		most, known := base[what]
		if !known {
			most = usual[kind]
		}
		most += slack[kind]
		switch kind {
		case "connections":
			most = perProcess * f["servers of "+owner]
		case "servers": // not a resource
			continue
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

// footprint asks every process, and PostgreSQL.
func (s *shop) footprint(ctx context.Context) (footprint, error) {
	held := footprint{}
	for i, p := range s.Processes() {
		select {
		case <-p.Done():
			continue // it has ended
		default:
		}
		name := fmt.Sprintf("of %s (%d)", p.Name, i)
		var err error
		if held["goroutines "+name], err = goroutines(ctx, p.OpsURL); err != nil {
			return nil, fmt.Errorf("goroutines %s: %w", name, err)
		}
		if files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID())); err == nil { // on Linux
			held["files "+name] = len(files)
		}
		for _, m := range p.Serves {
			held["servers of "+m+"_rt"]++
		}
	}
	rows, err := s.admin.Query(ctx, `
		SELECT 'connections of ' || usename, count(*) FROM pg_stat_activity WHERE usename LIKE '%\_rt' GROUP BY 1
		UNION ALL
		SELECT 'transactions of ' || usename, count(*) FROM pg_stat_activity WHERE usename LIKE '%\_rt' AND state LIKE 'idle in transaction%'
			AND xact_start < now() - interval '5 seconds' GROUP BY 1
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

// goroutines counts the goroutines of a process, without those of idle connections.
func goroutines(ctx context.Context, opsURL string) (count int, err error) {
	profile, err := ask.Request{URL: opsURL + "/debug/pprof/goroutine?debug=1"}.Send(ctx, client)
	if err != nil {
		return 0, err
	}
	return busy(string(profile.Body))
}

// busy parses a profile: "goroutine profile: total 42", then each stack with its number of
// goroutines, "7 @", and its functions.
func busy(profile string) (count int, err error) {
	_, stacks, _ := strings.Cut(profile, "\n")
	for stack := range strings.SplitSeq(strings.TrimSpace(stacks), "\n\n") {
		if strings.Contains(stack, "net/http.(*persistConn).readLoop") || strings.Contains(stack, "net/http.(*persistConn).writeLoop") ||
			strings.Contains(stack, "net/http.(*conn).serve") && !strings.Contains(stack, "ServeHTTP") {
			continue
		}
		var same int
		if _, err := fmt.Sscanf(stack, "%d @", &same); err != nil {
			return 0, fmt.Errorf("read the profile at %.50q: %w", stack, err)
		}
		count += same
	}
	return count, nil
}

func TestALeakIsSeen(t *testing.T) {
	base := footprint{"goroutines of monolith (0)": 80, "servers of orders_rt": 1, "connections of orders_rt": 4,
		"temporary files of the processes": 1}
	for name, test := range map[string]struct {
		now  footprint
		leak string
	}{
		"as at first":            {now: base},
		"a pool that is full":    {now: footprint{"goroutines of monolith (0)": 85, "servers of orders_rt": 1, "connections of orders_rt": perProcess}},
		"a process that left":    {now: footprint{}},
		"goroutines":             {footprint{"goroutines of monolith (0)": 91}, "goroutines of monolith (0): 91, at first 80, at most 90"},
		"of a later process":     {footprint{"goroutines of payments (2)": 91}, "goroutines of payments (2)"},
		"connections":            {footprint{"servers of orders_rt": 1, "servers of payments_rt": 1, "connections of orders_rt": perProcess + 1}, "connections of orders_rt: 12"},
		"of one that has ended":  {footprint{"servers of payments_rt": 1, "connections of orders_rt": 1}, "connections of orders_rt: 1"},
		"one file":               {footprint{"temporary files of the processes": 2}, "temporary files of the processes: 2, at first 1, at most 1"},
		"an endless transaction": {footprint{"transactions of orders_rt": 1}, "transactions of orders_rt: 1"},
	} {
		got := strings.Join(test.now.beyond(base), "\n")
		if (got == "") != (test.leak == "") || !strings.Contains(got, test.leak) {
			t.Errorf("%s: it says %q, want %q", name, got, test.leak)
		}
	}
}

func TestRestingConnectionsAreNotBusy(t *testing.T) {
	const profile = `goroutine profile: total 11
4 @ 0x1 0x2
#	0x1	net/http.(*persistConn).readLoop+0x1	/go/src/net/http/transport.go:1

3 @ 0x1 0x3
#	0x1	bufio.(*Reader).Peek+0x1	/go/src/bufio/bufio.go:1
#	0x3	net/http.(*conn).serve+0x1	/go/src/net/http/server.go:1

2 @ 0x1 0x4
#	0x1	example.com/shop/modules/orders.(*Module).place+0x1	/shop/modules/orders/place.go:1
#	0x4	net/http.HandlerFunc.ServeHTTP+0x1	/go/src/net/http/server.go:1
#	0x3	net/http.(*conn).serve+0x1	/go/src/net/http/server.go:1

1 @ 0x1 0x6
#	0x1	net/http.(*persistConn).roundTrip+0x1	/go/src/net/http/transport.go:2
#	0x6	example.com/shop/modules/orders.(*Module).place+0x1	/shop/modules/orders/place.go:2

1 @ 0x5
#	0x5	main.main+0x1	/shop/cmd/monolith/main.go:1
`
	if got, err := busy(profile); got != 4 || err != nil {
		t.Errorf("%d are busy (%v), want 4", got, err)
	}
}
