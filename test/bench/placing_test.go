package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/load"
)

// placed is what so many clients got done.
type placed struct {
	times   load.Times
	took    time.Duration
	refused int
}

func (p placed) rate() float64 { return float64(len(p.times)) / p.took.Seconds() }

// placing compares placing an order over HTTP with its bare statements. It leaves the raw placement limit, which is the better one of the two
// references, in b.raw, and what PostgreSQL
// writes for an order in b.bare, which is the same for any number of clients.
func (b *bench) placing(t *testing.T) section {
	t.Helper()
	s := section{title: "Placing an order", how: "`POST /v1/orders` of the monolith, from so many clients at once; beside it the same statements with values of the " +
		"same size, prepared and sent one after the other to the same tables by pgx and by pgbench (two threads). The relay of orders may not take " +
		"rows meanwhile, so that no saga takes part."}
	b.say("Placing an order …")
	// The deadline is far away, or the shop would soon be busy with expiring what no saga moves; and nobody reads what the relay complains of.
	shop := b.start(t, "placement", nil, "ORDERS_DEADLINE=1h", "LOG_LEVEL=ERROR+4")
	defer shop.stop(t)
	run(t, shop.AdminURL, "REVOKE UPDATE ON orders.outbox FROM placement_orders_rt")
	values := shop.compareStatements(t)
	for _, clients := range b.placers {
		http := shop.placeOverHTTP(t, clients, b.placeFor)
		before := shop.written(t)
		direct := shop.placeByPgx(t, clients, b.placeFor, values)
		b.bare = shop.written(t).since(before).each(len(direct.times))
		bare := b.placeByPgbench(t, shop.AdminURL, clients, b.placeFor, values)
		b.raw = max(b.raw, direct.rate(), bare.rate())
		who := fmt.Sprintf("%d clients", clients)
		if clients == 1 {
			who = "1 client"
		}
		s.how += fmt.Sprintf(" %s: %d orders refused.", who, http.refused)
		s.rows = append(s.rows,
			row{what: who, unit: "orders/s", ours: rate(http.rate()), beside: "pgx", reference: rate(direct.rate())},
			row{what: who, unit: "orders/s", ours: rate(http.rate()), beside: "pgbench", reference: rate(bare.rate())},
			row{what: who, unit: "ms", ours: ms(http.times), beside: "pgx", reference: ms(direct.times)},
			row{what: who, unit: "ms", ours: ms(http.times), beside: "pgbench", reference: ms(bare.times)})
	}
	return s
}

// orderValues places an order and reads it back.
func (s *shop) orderValues(t *testing.T) map[string]string {
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
	values := map[string]string{}
	for name, value := range row {
		values[name] = value.(string)
	}
	return values
}

func (s *shop) placeOverHTTP(t *testing.T, clients int, d time.Duration) (p placed) {
	t.Helper()
	plan := s.plan
	plan.Clients, plan.For = clients, d
	began := time.Now()
	err := plan.Run(t.Context(), func(o load.Order) {
		if o.Err != nil {
			p.refused++
			t.Logf("refused: %v", o.Err)
			return
		}
		p.times = append(p.times, o.Took)
	})
	if err != nil {
		t.Fatal(err)
	}
	p.took = time.Since(began)
	return p
}

// placeByPgx sends the statements as a Go program without anything else around them would. Each client places an order at least.
func (s *shop) placeByPgx(t *testing.T, clients int, d time.Duration, values map[string]string) placed {
	t.Helper()
	cfg, err := pgx.ParseConfig(s.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["search_path"] = "orders,inventory"
	type prepared struct {
		text  string
		names []string
	}
	var statements []prepared
	for _, text := range placementStatements {
		var p prepared
		p.text = parameter.ReplaceAllStringFunc(text, func(name string) string {
			if !slices.Contains(p.names, name) {
				p.names = append(p.names, name)
			}
			return "$" + strconv.Itoa(slices.Index(p.names, name)+1)
		})
		statements = append(statements, p)
	}
	one := func(conn *pgx.Conn) error {
		id, event := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
		for _, s := range statements {
			args := make([]any, len(s.names))
			for i, name := range s.names {
				switch name {
				case "@id", "@key":
					args[i] = id
				case "@event":
					args[i] = event
				default:
					args[i] = values[name[1:]]
				}
			}
			if _, err := conn.Exec(t.Context(), s.text, args...); err != nil {
				return fmt.Errorf("%w in %s", err, s.text)
			}
		}
		return nil
	}

	conns := make([]*pgx.Conn, clients)
	for i := range conns {
		if conns[i], err = pgx.ConnectConfig(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close(t.Context())
		for _, s := range statements {
			if _, err := conns[i].Prepare(t.Context(), s.text, s.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := make([]load.Times, clients)
	var running sync.WaitGroup
	began := time.Now()
	for i, conn := range conns {
		running.Go(func() {
			for len(all[i]) == 0 || time.Since(began) < d {
				before := time.Now()
				if err := one(conn); err != nil {
					t.Error(err)
					return
				}
				all[i] = append(all[i], time.Since(before))
			}
		})
	}
	running.Wait()
	return placed{times: slices.Concat(all...), took: time.Since(began)}
}

// pgbenchNumber is different for every order of every client and run, and grows, as the shop's own ids do.
const pgbenchNumber = `\set n :begin + 1000 * :seq + :client_id
\set seq :seq + 1
`

// pgbenchRate is without the time in which it connected.
var pgbenchRate = regexp.MustCompile(`tps = ([0-9.]+) \((?:without initial connection time|excluding connections establishing)\)`)

// placeByPgbench sends the statements by the program that PostgreSQL itself is measured with.
func (b *bench) placeByPgbench(t *testing.T, url string, clients int, d time.Duration, values map[string]string) placed {
	t.Helper()
	script := pgbenchNumber
	for _, text := range placementStatements {
		text = parameter.ReplaceAllStringFunc(text, func(name string) string {
			switch name {
			case "@id":
				return "lpad(to_hex(:n::bigint), 32, '0')::uuid"
			case "@event":
				return "lpad(to_hex(:n::bigint), 32, 'e')::uuid"
			case "@key":
				return ":n::text"
			}
			return ":" + name[1:]
		})
		script += strings.Join(strings.Fields(text), " ") + ";\n"
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "placement.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	seconds := max(1, int(d.Seconds()))
	args := []string{"-n", "-M", "prepared", "-f", file, "-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)),
		"-T", strconv.Itoa(seconds), "-l", "-D", "seq=0", "-D", fmt.Sprintf("begin=%d", time.Now().UnixMicro()*1000)}
	for name, value := range values {
		args = append(args, "-D", name+"="+value)
	}
	command := exec.CommandContext(t.Context(), b.pgbench, append(args, url+"&options=-csearch_path%3Dorders,inventory")...)
	command.Dir = dir // where it writes its log
	out, err := command.CombinedOutput()
	perSecond := pgbenchRate.FindSubmatch(out)
	if err != nil || perSecond == nil {
		t.Fatalf("pgbench: %v\n%s", err, out)
	}
	p := placed{times: readPgbenchLog(t, dir)}
	tps, err := strconv.ParseFloat(string(perSecond[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	p.took = time.Duration(float64(len(p.times)) / tps * float64(time.Second))
	return p
}

// readPgbenchLog reads how many microseconds each transaction took: the third field of a line.
func readPgbenchLog(t *testing.T, dir string) (times load.Times) {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(dir, "pgbench_log.*"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("pgbench left no log (%v)", err)
	}
	for _, name := range logs {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			fields := strings.Fields(lines.Text())
			microseconds, err := strconv.Atoi(fields[2])
			if err != nil {
				t.Fatalf("%s: %q", name, lines.Text())
			}
			times = append(times, time.Duration(microseconds)*time.Microsecond)
		}
	}
	return times
}
