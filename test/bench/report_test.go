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
	"example.com/shop/load"
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
	goal       string // "" if nobody asked for one
	met        bool
}

// figure is a rate, or a median with its p99.
type figure struct{ value, p99 float64 }

// rate is a figure without a p99.
func rate(perSecond float64) figure { return figure{value: perSecond} }

// ms are times in milliseconds.
func ms(t load.Times) figure {
	in := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return figure{in(t.At(50)), in(t.At(99))}
}

// ratio is 0 when there is nothing to compare with.
func (r row) ratio() float64 {
	if r.reference.value == 0 {
		return 0
	}
	return r.ours.value / r.reference.value
}

// least sets the goal that the ratio is at least so much.
func (r row) least(ratio float64) row {
	r.goal, r.met = fmt.Sprintf("ratio ≥ %g", ratio), r.ratio() >= ratio
	return r
}

// within sets the goal that the median, and the p99 unless that is 0, are at most so much.
func (r row) within(median, p99 float64) row {
	r.goal, r.met = fmt.Sprintf("≤ %g %s", median, r.unit), r.ours.value <= median
	if p99 > 0 {
		r.goal, r.met = fmt.Sprintf("%s, p99 ≤ %g", r.goal, p99), r.met && r.ours.p99 <= p99
	}
	return r
}

const tableHead = `| | unit | ours | p99 | reference | | p99 | ratio | p99 | goal | |
|---|---|--:|--:|---|--:|--:|--:|--:|---|---|
`

func (r row) String() string {
	verdict := ""
	switch {
	case r.goal != "" && r.met:
		verdict = "met"
	case r.goal != "":
		verdict = "**missed**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.what, r.unit,
		digits(r.ours.value), digits(r.ours.p99), r.beside, digits(r.reference.value), digits(r.reference.p99),
		digits(r.ratio()), digits(r.ours.p99/r.reference.p99), r.goal, verdict)
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

Written by ` + "`make bench` and `make bench-long`" + `, and by nobody's hand: run them to have the figures of your machine. Every figure stands
beside a reference from the same run, and the ratio is ours / reference. The load generator, the payment provider, the mail server, PostgreSQL
(which syncs each commit) and the shop share the machine. Times are a median and a p99.

<!-- bench -->
<!-- /bench -->
<!-- growth -->
<!-- /growth -->
`
)

// publish prints the sections and, when the run was a real one, writes them into the page.
func (b *bench) publish(t *testing.T, part, command string, took time.Duration, sections []section) {
	t.Helper()
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n", b.facts(t, command, took))
	for _, s := range sections {
		fmt.Fprintf(&text, "## %s\n\n%s\n\n%s", s.title, s.how, tableHead)
		for _, r := range s.rows {
			fmt.Fprint(&text, r)
		}
		fmt.Fprintln(&text)
	}
	fmt.Print(text.String())
	if os.Getenv("BENCH") != "write" {
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
func (b *bench) facts(t *testing.T, command string, took time.Duration) string {
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
		command, time.Now().UTC().Format("2006-01-02 15:04 MST"), took.Round(time.Second), revision(t),
		processors[0].ModelName, runtime.NumCPU(), float64(memory.Total)/(1<<30), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		version, fsync, commit, b.busy)
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
