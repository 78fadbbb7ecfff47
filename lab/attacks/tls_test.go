package attacks

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/certs"
	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

// With certificates for all, an order is confirmed: its customer, the façade, the services, their
// quotes and the broker speak TLS. Who listens on the network reads nothing, and who has no
// certificate, or another authority's, is served at the public address alone.
func TestAShopWithTLS(t *testing.T) {
	ourShop(t) // whose commands it has
	dir, ours, another := t.TempDir(), certs.New(t), certs.New(t)
	ours.Write(t, dir)
	running, err := topology.Start(t.Context(), topology.Options{Bin: bin, Split: topology.Modules, TLS: dir, Out: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &shop{System: running}
	client := func(by *certs.Authority) *http.Client {
		as := process.Certificate{CA: ours.PEM}
		if by != nil {
			as.Cert, as.Key = by.Issue(t)
		}
		return &http.Client{Transport: as.Transport()}
	}
	stranger, usual := client(nil), http.DefaultClient
	http.DefaultClient = stranger
	t.Cleanup(func() { http.DefaultClient = usual })
	confirms(t, s, "ada")

	answered := func(by *http.Client, url string) (hsts string, answered bool) {
		answer, err := by.Get(url + products)
		if err != nil {
			return "", false
		}
		answer.Body.Close()
		return answer.Header.Get("Strict-Transport-Security"), answer.StatusCode != http.StatusBadRequest
	}
	doors := map[string]bool{s.InternalURL: false}
	for _, p := range running.Processes() {
		doors[p.URL] = p.URL == s.URL
	}
	for url, public := range doors {
		for name, by := range map[string]*http.Client{"a stranger": stranger, "another authority's": client(another)} {
			if hsts, got := answered(by, url); got != public || (hsts != "") != public {
				t.Errorf("%s at %s: answered %v, HSTS %q", name, url, got, hsts)
			}
		}
		if _, got := answered(client(ours), url); !got {
			t.Errorf("one of ours is refused at %s", url)
		}
		if _, got := answered(usual, strings.Replace(url, "https://", "http://", 1)); got {
			t.Errorf("%s is served without TLS", url)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.Broker.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	greeting := make([]byte, 4<<10)
	n, err := conn.Read(greeting)
	if err != nil || !strings.Contains(string(greeting[:n]), `"tls_required":true,"tls_verify":true`) {
		t.Errorf("the broker says %s, %v", greeting[:n], err)
	}
}
