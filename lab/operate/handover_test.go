package operate

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/lab/ask"
	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/tools/routing"
	"example.com/shop/tools/topology"
)

// A façade takes the address of a running monolith, which then stops, while clients send requests
// over new and over kept connections. None fails, and the façade answers in the end.
func TestAFacadeGoesBeforeARunningMonolith(t *testing.T) {
	bin, err := topology.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	socket := filepath.Join(t.TempDir(), "s")
	s, err := topology.Start(t.Context(), topology.Options{Bin: bin, Out: t.Output(), Env: []string{"LOG_LEVEL=warn", "HTTP_CALLER_RATE=1000000"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	first := s.Processes()[0]
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	first.Env = append(first.Env, "LISTEN_HANDOVER="+socket, "DRAIN_AFTER=1s")
	if err := s.Restart(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second, err := s.StartMonolith(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}

	load := begin(s.URL, s.Key.Mint(tokens.Claims{Role: "staff", Subject: "grace"}))
	load.more(t)
	ops := startGateway(t, bin, s.URL, second, socket)
	load.more(t)
	if err := first.Stop(); err != nil {
		t.Error(err)
	}
	load.more(t)
	sent, failed := load.end()
	t.Logf("%d requests were sent", sent)
	if len(failed) > 0 {
		t.Errorf("%d failed, at first: %s", len(failed), failed[0])
	}
	answer, err := ask.Request{URL: ops + "/routes"}.Send(t.Context(), http.DefaultClient)
	if routed := string(answer.Body); err != nil || !strings.Contains(routed, `"monolith"`) || strings.Contains(routed, `"served":0`) {
		t.Errorf("the façade has answered nothing: %s (%v)", routed, err)
	}
}

// startGateway starts a façade at the address, with all routes to the process, and returns the
// address of its operators' pages.
func startGateway(t *testing.T, bin, address string, to *topology.Process, socket string) (ops string) {
	t.Helper()
	port, err := freeport.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := routes.File{
		Upstreams: map[string]routes.Upstream{"monolith": {URL: to.URL, Probe: to.OpsURL + "/readyz"}},
		Routes: map[string]routes.Route{"inventory": {Prefix: "/v1/inventory",
			Sides: []routes.Side{{Upstream: "monolith", Weight: 100}}}},
	}
	file, addr := filepath.Join(t.TempDir(), "routes.yaml"), fmt.Sprintf("127.0.0.1:%d", port)
	if err := routing.Create(file, table); err != nil {
		t.Fatal(err)
	}
	gateway, err := child.Start(child.Options{
		Path: filepath.Join(bin, "gateway"), Args: []string{"serve"}, Out: t.Output(),
		Env: append(os.Environ(), "LOG_LEVEL=warn", "GATEWAY_ROUTES="+file, "OPS_ADDR="+addr, "LISTEN_HANDOVER="+socket,
			"GATEWAY_ADDR="+strings.TrimPrefix(address, "http://"), "DRAIN_AFTER=0s", "GATEWAY_ADDRESS_RATE=1000000"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Stop(time.Minute) })
	ops = "http://" + addr
	for {
		if response, err := http.Get(ops + "/readyz"); err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK {
			return ops
		}
		select {
		case <-gateway.Done():
			t.Fatal(gateway.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// clients send requests until the test ends them. A client does not repeat a POST by itself.
type clients struct {
	stop   context.CancelFunc
	all    sync.WaitGroup
	sent   atomic.Int64
	mu     sync.Mutex
	failed []string
}

// begin starts clients that keep their connections, and others that need a new one each time.
func begin(url, token string) *clients {
	running, stop := context.WithCancel(context.Background())
	c := &clients{stop: stop}
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 30 * time.Second}
		c.all.Go(func() {
			for ; running.Err() == nil; c.sent.Add(1) {
				if err := restock(client, url, token); err != nil {
					c.mu.Lock()
					c.failed = append(c.failed, err.Error())
					c.mu.Unlock()
				}
			}
		})
	}
	return c
}

func restock(client *http.Client, url, token string) error {
	answer, err := ask.Request{
		Method: http.MethodPost, URL: url + "/v1/inventory/products/tea-assam/restock", Token: token, Key: rand.Text(), Body: `{"quantity":1}`,
	}.Send(context.Background(), client)
	if err == nil && answer.Status/100 != 2 {
		err = fmt.Errorf("%d: %s", answer.Status, answer.Body)
	}
	return err
}

// more waits until many more requests are answered.
func (c *clients) more(t *testing.T) {
	t.Helper()
	for enough := c.sent.Load() + 2000; c.sent.Load() < enough; time.Sleep(time.Millisecond) {
		if t.Context().Err() != nil {
			return
		}
	}
}

func (c *clients) end() (sent int64, failed []string) {
	c.stop()
	c.all.Wait()
	return c.sent.Load(), c.failed
}
