package faults

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"example.com/shop/tools/topology"
)

// TestFigures logs what a split costs on this machine, which the clients, the shop and PostgreSQL
// share. It asserts nothing: figures are comparable only within one run.
func TestFigures(t *testing.T) {
	long(t)
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer func() {
		_ = table.Flush()
		t.Logf("\n%s", report.String())
	}()

	monolith := start(t)
	split := start(t, topology.Modules...)
	one, oneSplit := monolith.placing(t, 1, 400), split.placing(t, 1, 400)
	many, manySplit := monolith.placing(t, clients, 4000), split.placing(t, clients, 4000)
	fmt.Fprintln(table, "placing orders\tmonolith\tall split\tsplit / monolith\t")
	compare(table, "1 client, p50", one.at(50), oneSplit.at(50))
	compare(table, "1 client, p99", one.at(99), oneSplit.at(99))
	compare(table, "32 clients, p50", many.at(50), manySplit.at(50))
	compare(table, "32 clients, p99", many.at(99), manySplit.at(99))
	fmt.Fprintf(table, "32 clients, requests/s\t%.0f\t%.0f\t%.2f\t\n", many.rate(), manySplit.rate(),
		manySplit.rate()/many.rate())
	fmt.Fprintf(table, "32 clients, requests repeated\t%d\t%d\t\t\n", many.repeated, manySplit.repeated)

	direct, through := split.overhead(t, 3000)
	fmt.Fprintln(table, "\t\t\t\t\nlisting products, 1 client\tdirect\tby the façade\tfaçade / direct\t")
	compare(table, "p50", direct.at(50), through.at(50))
	compare(table, "p99", direct.at(99), through.at(99))

	fmt.Fprintln(table, "\t\t\t\t\nfrom SIGKILL to the first answer\t\t\t\t")
	fmt.Fprintf(table, "monolith\t%s\t\t\t\n", monolith.recovery(t, monolith.Processes()[0]))
	for _, p := range split.Processes() {
		fmt.Fprintf(table, "%s of the split shop\t%s\t\t\t\n", p.Name, split.recovery(t, p))
	}
}

func compare(table *tabwriter.Writer, what string, base, other time.Duration) {
	fmt.Fprintf(table, "%s\t%s\t%s\t%.2f\t\n", what, base, other, float64(other)/float64(base))
}

// measured has the time of each request, and of all together.
type measured struct {
	each     []time.Duration
	took     time.Duration
	repeated int64 // retries
}

// at returns a percentile.
func (m measured) at(percent int) time.Duration {
	slices.Sort(m.each)
	return m.each[(len(m.each)-1)*percent/100].Round(10 * time.Microsecond)
}

func (m measured) rate() float64 { return float64(len(m.each)) / m.took.Seconds() }

// placing measures placing orders from several clients, while the orders' sagas run.
func (s *shop) placing(t *testing.T, clients, count int) measured {
	t.Helper()
	all := make([]time.Duration, count)
	var repeated atomic.Int64
	var running sync.WaitGroup
	began := time.Now()
	for c := range clients {
		running.Go(func() {
			token := s.token("customer", fmt.Sprintf("customer-%d", c))
			for i := c; i < count; i += clients {
				began := time.Now()
				if _, err := placeReporting(t.Context(), s.URL, token, i, func(string) { repeated.Add(1) }); err != nil {
					t.Errorf("order %d: %v", i, err)
				}
				all[i] = time.Since(began)
			}
		})
	}
	running.Wait()
	took := time.Since(began)
	s.drain(t)
	return measured{all, took, repeated.Load()}
}

// drain waits until every order has ended, so that no saga disturbs the next measurement.
func (s *shop) drain(t *testing.T) {
	t.Helper()
	const rule = "every order is confirmed or cancelled"
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		broken, err := violations(t.Context(), s.admin, map[string]string{rule: finally[rule]})
		if err == nil && len(broken) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("orders are still under way (%v): %v", err, broken)
		}
	}
}

// overhead measures inventory directly and through the façade, alternately.
func (s *shop) overhead(t *testing.T, count int) (direct, through measured) {
	t.Helper()
	i := slices.IndexFunc(s.Processes(), func(p *topology.Process) bool { return p.Name == "inventory" })
	ask := func(m *measured, url string) {
		began := time.Now()
		if !s.answers(t, url, "inventory") {
			t.Error("there was no answer from " + url)
		}
		m.each = append(m.each, time.Since(began))
	}
	for range count {
		ask(&direct, s.Processes()[i].URL)
		ask(&through, s.URL)
	}
	return direct, through
}

// recovery kills and restarts the process, as a supervisor would, and polls until it answers.
func (s *shop) recovery(t *testing.T, p *topology.Process) time.Duration {
	t.Helper()
	module := p.Name
	if len(p.Serves) != 1 { // the monolith or the façade
		module = "inventory"
	}
	exited := p.Done()
	restarted := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(restarted)
		s.restart(t, p, func() error { return p.Signal(os.Kill) })
	}()
	<-exited // an answer before that does not count
	for !s.answers(t, s.URL, module) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s does not answer a minute after it was killed", p.Name)
		}
		time.Sleep(5 * time.Millisecond)
	}
	took := time.Since(began).Round(time.Millisecond)
	<-restarted
	return took
}

// answers reports whether the module answers at the URL.
func (s *shop) answers(t *testing.T, url, module string) bool {
	t.Helper()
	path, role := "/v1/"+module+"?order_id=0198f000-0000-7000-8000-000000000000", "staff"
	switch module {
	case "orders":
		path, role = "/v1/orders", "customer"
	case "inventory":
		path = "/v1/inventory/products"
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.token(role, "grace"))
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == http.StatusOK
}
