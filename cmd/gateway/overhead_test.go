package main

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkOverhead compares a call through the façade with the same call to its upstream, one at a time and alternately, so that both
// see the same machine. Client, façade and upstream share its cores.
func BenchmarkOverhead(b *testing.B) {
	upstream := newServer(b)
	g := start(b, table2(upstream.URL, upstream.URL, 0, ""))
	var direct, through []time.Duration
	measure := func(url string) time.Duration {
		began := time.Now()
		if answer, err := (&bench{url: url, client: g.client}).try(http.MethodGet, "/v1/things", nil); err != nil || answer.status != http.StatusOK {
			b.Fatal(answer.status, err)
		}
		return time.Since(began)
	}
	for b.Loop() {
		direct, through = append(direct, measure(upstream.URL)), append(through, measure(g.url))
	}
	report := func(name string, d []time.Duration) {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"_p50_us")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"_p99_us")
	}
	report("direct", direct)
	report("facade", through)
}
