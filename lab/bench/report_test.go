package bench

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"example.com/shop/architecture"
	"example.com/shop/lab/load"
)

// section is a table of the report, and how its figures came about.
type section struct {
	title, how string
	rows       []row
}

// row is a figure beside its reference, from the same run.
type row struct {
	what, unit string
	ours       figure
	beside     string // what the reference is
	reference  figure
	goal       string // "" for none
	verdict    string // on the goal
}

// figure is a rate, or a median with its p99.
type figure struct{ value, p99 float64 }

// rate is a figure without a p99.
func rate(perSecond float64) figure { return figure{value: perSecond} }

// enough samples for a p99, which the twenty above it decide. Of fewer it says what chance did.
const enough = 2000

// ms are times in milliseconds.
func ms(t load.Times) (f figure) {
	in := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	f.value = in(t.At(50))
	if len(t) >= enough {
		f.p99 = in(t.At(99))
	}
	return f
}

// ratio is 0 when there is nothing to compare with.
func (r row) ratio() float64 {
	if r.reference.value == 0 {
		return 0
	}
	return r.ours.value / r.reference.value
}

// verdict is on a goal. What was not measured is neither met nor missed.
func verdict(measured, met bool) string {
	switch {
	case !measured:
		return "not measured"
	case met:
		return "met"
	}
	return "**missed**"
}

// least sets the goal that the ratio is at least so much.
func (r row) least(ratio float64) row {
	r.goal, r.verdict = fmt.Sprintf("ratio ≥ %.3g", ratio), verdict(r.ratio() > 0, r.ratio() >= ratio)
	return r
}

// most sets the goal that the ratio is at most so much.
func (r row) most(ratio float64) row {
	r.goal, r.verdict = fmt.Sprintf("ratio ≤ %.3g", ratio), verdict(r.ratio() > 0, r.ratio() <= ratio)
	return r
}

// within sets the goal that ours is at most so much.
func (r row) within(limit float64) row {
	r.goal, r.verdict = fmt.Sprintf("≤ %g %s", limit, r.unit), verdict(r.ours.value > 0, r.ours.value <= limit)
	return r
}

// andP99 adds that its p99 is at most so much.
func (r row) andP99(limit float64) row {
	r.goal = fmt.Sprintf("%s, p99 ≤ %g", r.goal, limit)
	r.verdict = verdict(r.ours.p99 > 0, r.verdict == verdict(true, true) && r.ours.p99 <= limit)
	return r
}

const tableHead = `| | unit | ours | its p99 | beside | reference | its p99 | ratio | of p99 | goal | |
|---|---|--:|--:|---|--:|--:|--:|--:|---|---|
`

func (r row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.what, r.unit,
		digits(r.ours.value), digits(r.ours.p99), r.beside, digits(r.reference.value), digits(r.reference.p99),
		digits(r.ratio()), digits(r.ours.p99/r.reference.p99), r.goal, r.verdict)
}

// digits is a number with as many digits as mean something; what there is none of stays empty.
func digits(f float64) string {
	switch {
	case f == 0 || math.IsNaN(f) || math.IsInf(f, 0):
		return ""
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

const (
	page = "../../deploy/PERFORMANCE.md"

	emptyPage = `# Performance

Written by ` + "`make bench` and `make bench-long`" + `, never by hand: run them to have the figures of your machine. Every
figure stands beside a reference from the same run, and the ratio is ours / reference. The shop, PostgreSQL (which syncs
each commit, but for the marks of our relays), the payment provider, the mail server and the load share the machine; the
load is a process of its own, and no part of what an order costs. Times are a median, and a p99 where there are 2,000 of
them or more. A goal is what was hoped for before anything was measured. Where one is missed, the rows beside it say
what an order costs, and of what. ` + "`make bench BASE=commit`" + ` compares what an order costs with that commit, and writes
nothing here.

<!-- bench -->
<!-- /bench -->
<!-- growth -->
<!-- /growth -->
`
)

// publish prints the sections and, when the run was a real one, writes them into the page.
func (b *bench) publish(t *testing.T, part, command string, sections []section) {
	t.Helper()
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n", b.facts(t, command))
	for _, s := range sections {
		fmt.Fprintf(&text, "## %s\n\n%s\n\n%s", s.title, s.how, tableHead)
		for _, r := range s.rows {
			fmt.Fprint(&text, r)
		}
		fmt.Fprintln(&text)
	}
	fmt.Print(text.String())
	if !writing {
		return
	}
	old, err := os.ReadFile(page)
	if err != nil {
		old = []byte(emptyPage)
	}
	filled, ok := architecture.Fill(string(old), part, text.String())
	if !ok {
		t.Fatalf("%s has no place for the %s: remove it, and it is written anew", page, part)
	}
	if err := os.WriteFile(page, []byte(filled), 0o644); err != nil {
		t.Fatal(err)
	}
}

// facts say where, when and of what the figures are.
func (b *bench) facts(t *testing.T, command string) string {
	t.Helper()
	processors, err := cpu.InfoWithContext(t.Context())
	if err != nil || len(processors) == 0 {
		t.Fatalf("ask for the processor: %v", err)
	}
	memory, err := mem.VirtualMemoryWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), b.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var version, fsync, commit string
	err = conn.QueryRow(t.Context(), "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')").
		Scan(&version, &fsync, &commit)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("`%s` on %s, in %s, at commit %s. %s, %d cores, %.0f GiB, %s/%s; %s; PostgreSQL %s with fsync %s and synchronous_commit %s. "+
		"The load average was %.1f before: where that is not near 0, others were at work, and the run is worth nothing.\n",
		command, time.Now().UTC().Format("2006-01-02 15:04 MST"), time.Since(b.began).Round(time.Second), revision(t),
		processors[0].ModelName, runtime.NumCPU(), float64(memory.Total)/(1<<30), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		version, fsync, commit, busy)
}

// revision is the commit that was measured, and whether that is all of it.
func revision(t *testing.T) string {
	t.Helper()
	git := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), "git", args...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	if changed := git("status", "--porcelain", "--", "../..", ":!"+page); changed != "" {
		return git("rev-parse", "--short", "HEAD") + " and what was not committed"
	}
	return git("rev-parse", "--short", "HEAD")
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	r := row{unit: "ms", ours: figure{4, 9}, reference: figure{2, 0}}
	for verdict, rows := range map[string][]row{
		"met":        {r.least(2), r.most(2), r.within(4), r.within(4).andP99(9)},
		"**missed**": {r.least(2.1), r.most(1.9), r.within(3), r.within(3).andP99(9), r.within(4).andP99(8)},
		"not measured": {row{reference: rate(1)}.least(1), row{ours: rate(1)}.most(1), row{}.within(1),
			row{ours: rate(1)}.within(1).andP99(1)},
	} {
		for _, r := range rows {
			if r.verdict != verdict {
				t.Errorf("%s is %s, want %s", r, r.verdict, verdict)
			}
		}
	}
}

func TestNoP99OfFewSamples(t *testing.T) {
	t.Parallel()
	times := make(load.Times, enough)
	for i := range times {
		times[i] = time.Duration(i+1) * time.Millisecond
	}
	if few, many := ms(times[1:]), ms(times); few.p99 != 0 || many != (figure{1000, 1980}) {
		t.Errorf("%v of few, %v of many", few, many)
	}
}
