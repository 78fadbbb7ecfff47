package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/lab/load"
)

// placed is what so many clients got done.
type placed struct {
	clients   int
	times     load.Times
	took      time.Duration
	all       int // orders, with those of before the window
	low, high int // orders in the slowest and in the fastest whole second
}

func (p placed) rate() float64 { return float64(len(p.times)) / p.took.Seconds() }

// beside compares orders/s and ms.
func (p placed) beside(what string, is placed) []row {
	who := fmt.Sprintf("%d clients", p.clients)
	if p.clients == 1 {
		who = "1 client"
	}
	return []row{
		{what: who, unit: "orders/s", ours: rate(p.rate()), beside: what, reference: rate(is.rate())},
		{what: who, unit: "ms", ours: ms(p.times), beside: what, reference: ms(is.times)},
	}
}

// placing compares placing an order over HTTP with its bare statements. It leaves the raw limits,
// one placement by one client, and what PostgreSQL writes for an order.
func (b *bench) placing(t *testing.T) section {
	t.Helper()
	b.say("Placing an order …")
	s := b.compose(t, undelivered)
	defer s.stop(t)
	of := s.compareStatements(t)
	// All warm up before any is measured. The number of clients is chosen by short runs, but its
	// figure is that of a long one after them: the best of short ones is in part what chance made
	// of it.
	s.placeOverHTTP(t, 1, b.warmFor)
	chosen := map[bool]int{}
	for _, piped := range []bool{false, true} {
		var most float64
		for _, n := range b.tried {
			if p := s.placeByPgbench(t, of, n, piped, 0, b.tryFor); p.rate() > most {
				most, chosen[piped] = p.rate(), n
			}
		}
	}
	run(t, s.AdminURL, "ANALYZE")

	one, alone := s.placeOverHTTP(t, 1, b.placeFor), s.placeByPgbench(t, of, 1, false, b.warmFor, b.placeFor)
	b.one = ms(one.times)
	many := s.placeOverHTTP(t, chosen[false], b.placeFor)
	before := s.written(t)
	b.raw = s.placeByPgbench(t, of, chosen[false], false, b.warmFor, b.placeFor)
	b.rawWrote = s.written(t).since(before).each(b.raw.all)
	b.piped = s.placeByPgbench(t, of, chosen[true], true, b.warmFor, b.placeFor)

	steady := func(p placed) string {
		return fmt.Sprintf("%d clients, %d orders in the slowest second and %d in the fastest", p.clients, p.low, p.high)
	}
	how := fmt.Sprintf("`POST /v1/orders` from so many clients at once, answered by the modules in one process as in the "+
		"monolith, but for delivery: nothing takes what the outbox holds, so no saga takes part. Beside it pgbench sends "+
		"the same statements with values of the same size, prepared, to the same tables. The raw limit is what it places "+
		"within %s, after a warm-up and ANALYZE, with the number of clients that is best of %v: %s. Pipelined, all "+
		"statements of an order are one round trip: %s.", b.placeFor, b.tried, steady(b.raw), steady(b.piped))
	rows := append(one.beside("pgbench", alone), many.beside("raw limit", b.raw)...)
	return section{"Placing an order", how, append(rows, many.beside("raw limit, pipelined", b.piped)...)}
}

// values are those of an order, by the name of their parameter.
type values map[string]string

// orderValues places an order and reads it back.
func (s *shop) orderValues(t *testing.T) values {
	t.Helper()
	var id string
	var sent bool
	plan := s.plan
	plan.Clients, plan.For = 1, time.Hour
	plan.Admit = func() bool {
		first := !sent
		sent = true
		return first
	}
	if err := plan.Run(t.Context(), func(o load.Order) { id = o.ID }); err != nil {
		t.Fatal(err)
	}
	rows, err := s.admin.Query(t.Context(), orderValues, id)
	if err != nil {
		t.Fatal(err)
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("read order %s: %v", id, err)
	}
	of := values{}
	for name, value := range row {
		of[name] = value.(string)
	}
	return of
}

func (s *shop) placeOverHTTP(t *testing.T, clients int, d time.Duration) placed {
	t.Helper()
	w := work{Plan: s.plan}
	w.Clients, w.For = clients, d
	o, _ := s.load(t, w)
	return placed{clients: clients, times: o.Answered, took: o.Took}
}

// placeByPgbench sends the statements by the program that PostgreSQL itself is measured with. What
// it does while it warms up does not count.
func (s *shop) placeByPgbench(t *testing.T, of values, clients int, piped bool, warm, d time.Duration) placed {
	t.Helper()
	threads, seconds := min(clients, runtime.NumCPU()), int((warm+d+time.Second-1)/time.Second)
	all := s.pgbench(t, of, piped,
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(threads), "-T", strconv.Itoa(seconds))
	began := all[0].at
	for _, o := range all {
		if o.at.Before(began) {
			began = o.at
		}
	}
	p := placed{clients: clients, took: d, all: len(all)}
	bySecond := make([]int, max(1, d/time.Second))
	for _, o := range all {
		after := o.at.Sub(began) - warm
		if after < 0 || after >= d {
			continue
		}
		p.times = append(p.times, o.took)
		if second := int(after / time.Second); second < len(bySecond) {
			bySecond[second]++
		}
	}
	p.low, p.high = slices.Min(bySecond), slices.Max(bySecond)
	return p
}

// pgbenchOrder is what pgbench logs of an order.
type pgbenchOrder struct {
	at   time.Time // when it was placed
	took time.Duration
}

// pgbenchNumber is different for every order of every client and run, and grows, as the shop's own
// ids do.
const pgbenchNumber = `\set n :begin + 1000 * :seq + :client_id
\set seq :seq + 1
`

// pgbench places an order at least.
func (s *shop) pgbench(t *testing.T, of values, piped bool, args ...string) (all []pgbenchOrder) {
	t.Helper()
	var statements string
	for _, text := range placementStatements {
		text = parameter.ReplaceAllStringFunc(text, func(name string) string {
			switch name {
			case "@id":
				return "lpad(to_hex(:n::bigint), 32, '0')::uuid"
			case "@event":
				return "lpad(to_hex(:n::bigint), 32, 'e')::uuid"
			case "@key":
				return "lpad(to_hex(:n::bigint), 36, '0')"
			}
			return ":" + name[1:]
		})
		statements += strings.Join(strings.Fields(text), " ") + ";\n"
	}
	if piped {
		statements = "\\startpipeline\n" + statements + "\\endpipeline\n"
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "placement.sql")
	if err := os.WriteFile(script, []byte(pgbenchNumber+statements), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now().UnixMicro() * 1000
	args = append(args, "-n", "-M", "prepared", "-f", script, "-l", "-D", "seq=0", "-D", fmt.Sprintf("begin=%d", begin))
	for name, value := range of {
		args = append(args, "-D", name+"="+value)
	}
	args = append(args, s.AdminURL+"&options=-csearch_path%3Dorders,inventory")
	command := exec.CommandContext(t.Context(), s.bench.program, args...)
	command.Dir = dir // where it writes its log
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("pgbench: %v\n%s", err, out)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "pgbench_log.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range logs {
		all = append(all, readPgbenchLog(t, name)...)
	}
	if len(all) == 0 {
		t.Fatal("pgbench logged no order")
	}
	return all
}

// readPgbenchLog reads lines of client, number, microseconds, script, and the time of the end as
// seconds and microseconds.
func readPgbenchLog(t *testing.T, name string) (all []pgbenchOrder) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var client, number, script int
		var took, seconds, micros int64
		if _, err := fmt.Sscan(lines.Text(), &client, &number, &took, &script, &seconds, &micros); err != nil {
			t.Fatalf("%s: %q", name, lines.Text())
		}
		all = append(all, pgbenchOrder{time.Unix(seconds, micros*1000), time.Duration(took) * time.Microsecond})
	}
	return all
}
