package faults

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/tools/topology"
)

// shadowTimeout is how long the gateway waits for a shadow: longer than any client's request takes.
const shadowTimeout = 10 * time.Second

// The route inventory is shadowed by a service that answers differently, by one that is dead, and
// by one that never answers. Differences are counted, without values, and no client waits.
func TestAShadowIsComparedAndDelaysNoClient(t *testing.T) {
	long(t)
	s := startWith(t, topology.Options{Facade: true, Env: []string{"GATEWAY_SHADOW_TIMEOUT=" + shadowTimeout.String()}})
	gateway := s.process(t, "gateway")
	const oldName, newName = "Assam black tea", "Assam green tea"
	var asked atomic.Int64
	dead := httptest.NewServer(nil)
	dead.Close()
	shadows := map[string]string{
		"renames": renaming(t, s.process(t, "monolith").URL, oldName, newName),
		"dead":    dead.URL,
		"hangs":   hanging(t, &asked),
	}
	alone, _ := s.ask(t, 300)

	s.shadow(t, shadows, "renames")
	s.ask(t, 20)
	var page string
	tally := func() routes.Tally { page = s.routesPage(t, gateway); return tallyIn(t, page, "shadow") }
	until(t, "all copies are compared", time.Minute, func() bool { return tally().Compared == 20 })
	text, asJSON := s.seam(t, "route", "show"), s.seam(t, "route", "show", "--json")
	found := tally()
	if found.Mismatched != 20 || !slices.Contains(found.Mismatches[0].Pointers, "/items/7/name") {
		t.Errorf("20 answers differ in a name, and the gateway has %+v", found)
	}
	if shown := tallyIn(t, asJSON, "shadowed"); shown.Mismatched != 20 || len(shown.Mismatches) == 0 {
		t.Errorf("seam route show --json has %+v", shown)
	}
	if !strings.Contains(text, "20 compared, 20 differ, 0 failed, 0 dropped") || !strings.Contains(text, "/items/7/name") {
		t.Errorf("seam route show says\n%s", text)
	}
	for where, said := range map[string]string{"GET /routes": page, "seam route show": text, "seam route show --json": asJSON} {
		if strings.Contains(said, oldName) || strings.Contains(said, newName) {
			t.Errorf("%s shows values:\n%s", where, said)
		}
	}

	// The one that hangs is last: it fills the gateway's slots until the timeout.
	for _, name := range []string{"dead", "hangs"} {
		before := tally()
		s.shadow(t, shadows, name)
		median, longest := s.ask(t, 300)
		t.Logf("shadow %s: a request takes %s, %.2f times as long as without (%s); the longest %s", name,
			median.Round(time.Microsecond), float64(median)/float64(alone), alone.Round(time.Microsecond),
			longest.Round(time.Millisecond))
		if longest >= shadowTimeout {
			t.Errorf("shadow %s: a client waited for %s", name, longest)
		}
		until(t, "copies to the shadow fail", time.Minute, func() bool {
			now := tally()
			return name == "dead" && now.Failed > before.Failed || name == "hangs" && asked.Load() > 0 &&
				now.Dropped > before.Dropped
		})
	}
}

// renaming starts a faulty copy of the upstream: it answers with another name.
func renaming(t *testing.T, upstream, from, to string) (address string) {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			body = bytes.ReplaceAll(body, []byte(from), []byte(to))
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
			r.Header.Set("Content-Length", strconv.Itoa(len(body)))
			return nil
		},
	})
	t.Cleanup(server.Close)
	return server.URL
}

// hanging accepts requests and does not answer before the test is over.
func hanging(t *testing.T, asked *atomic.Int64) (address string) {
	t.Helper()
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	return server.URL
}

// shadow has the façade copy all reads of inventory to one of the shadows.
func (s *shop) shadow(t *testing.T, shadows map[string]string, name string) {
	t.Helper()
	file, err := routes.Load(s.Routes)
	if err != nil {
		t.Fatal(err)
	}
	for upstream, address := range shadows {
		file.Upstreams[upstream] = routes.Upstream{URL: address}
	}
	route := file.Routes["inventory"]
	route.Shadow = &routes.Shadow{Upstream: name, Percent: 100}
	file.Routes["inventory"] = route
	if err := s.Route(t.Context(), file); err != nil {
		t.Fatal(err)
	}
}

// ask lists the products so many times and returns the median and the longest time of an answer.
func (s *shop) ask(t *testing.T, times int) (median, longest time.Duration) {
	t.Helper()
	var took []time.Duration
	for range times {
		began := time.Now()
		if a := get(t, s.URL+"/v1/inventory/products", ""); a.Status != http.StatusOK {
			t.Fatalf("status %d", a.Status)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[times/2], took[times-1]
}

// routesPage returns the façade's GET /routes.
func (s *shop) routesPage(t *testing.T, gateway *topology.Process) string {
	t.Helper()
	return string(get(t, gateway.OpsURL+"/routes", "").Body)
}

// tallyIn returns the tally of inventory's shadow, which has this key on the page.
func tallyIn(t *testing.T, page, key string) (tally routes.Tally) {
	t.Helper()
	var p struct {
		Routes map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(page), &p); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(p.Routes["inventory"][key], &tally); err != nil {
		t.Fatalf("%s of %s: %v", key, page, err)
	}
	return tally
}
