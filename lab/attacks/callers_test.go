package attacks

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
	"example.com/shop/tools/topology"
)

// signed makes a token by hand, as no library would. Its claims are those of a good one, and more.
func signed(key ed25519.PrivateKey, id, issuer, more string) string {
	now := time.Now().Unix()
	claims := fmt.Sprintf(`{"iss":%q,"aud":"shop","iat":%d,"exp":%d,%s}`, issuer, now, now+3600, more)
	text := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"alg":"EdDSA","kid":%q}`, id)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

// A claim that is nearly the role's is no role.
func TestARoleIsWrittenExactly(t *testing.T) {
	s := theShop(t)
	for more, want := range map[string]int{
		`"sub":"grace","role":"staff"`:                   http.StatusOK,
		`"sub":"grace","Role":"staff"`:                   http.StatusUnauthorized,
		`"sub":"grace","role":"customer","ROLE":"staff"`: http.StatusUnauthorized,
		`"sub":"grace","role":"customer","role":"staff"`: http.StatusUnauthorized,
	} {
		token := signed(s.Key.Private(), "", "https://dev.shop.example", more)
		if status, answer := send(t, http.MethodGet, s.URL+"/v1/payments?order_id="+uuid.NewString(), token, ""); status != want {
			t.Errorf("%s gets %d, want %d: %s", more, status, want, answer)
		}
	}
}

// trusting starts a process that trusts an issuer with this key, whose id is known.
func trusting(t *testing.T, s *shop, public any) (p *topology.Process, issuer string, asked *atomic.Int64, revoke func()) {
	t.Helper()
	var keys atomic.Value
	der, _ := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "OKP", "crv": "Ed25519", "kid": "known", "x": base64.RawURLEncoding.EncodeToString(public.(ed25519.PublicKey)),
	}}})
	keys.Store(string(der))
	asked = &atomic.Int64{}
	provider := httptest.NewServer(nil)
	t.Cleanup(provider.Close)
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			asked.Add(1)
			fmt.Fprint(w, keys.Load())
			return
		}
		fmt.Fprintf(w, `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, provider.URL)
	})
	p, err := s.StartService(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p.Env = append(p.Env, "AUTH_PUBLIC_KEY=", "AUTH_ISSUER="+provider.URL, "AUTH_REFRESH=2s")
	if err := s.Restart(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p, provider.URL, asked, func() { keys.Store(`{"keys":[]}`) }
}

// Tokens with made-up key ids do not have the issuer asked for each, and a key that it revokes is
// dead when the process has read its keys again.
func TestMadeUpAndRevokedKeys(t *testing.T) {
	s := ourShop(t)
	public, key, _ := ed25519.GenerateKey(nil)
	_, foreign, _ := ed25519.GenerateKey(nil)
	p, issuer, asked, revoke := trusting(t, s, public)
	status := func(key ed25519.PrivateKey, id string) int {
		t.Helper()
		status, _ := send(t, http.MethodGet, p.URL+"/v1/orders", signed(key, id, issuer, `"sub":"ada","role":"customer"`), "")
		return status
	}
	if got := status(key, "known"); got != http.StatusOK {
		t.Fatalf("the issuer's own token gets %d", got)
	}
	began, before := time.Now(), asked.Load()
	for i := range 200 {
		if got := status(foreign, fmt.Sprint("made-up-", i)); got != http.StatusUnauthorized {
			t.Fatalf("a made-up key gets %d", got)
		}
	}
	if n, most := asked.Load()-before, 2+int64(time.Since(began)/time.Second); n > most {
		t.Errorf("200 tokens with made-up keys had the issuer asked %d times, want %d at most", n, most)
	}
	if got := status(key, "known"); got != http.StatusOK {
		t.Errorf("the issuer's own token gets %d", got)
	}
	revoke()
	time.Sleep(5 * time.Second) // two refreshes
	if got := status(key, "known"); got != http.StatusUnauthorized {
		t.Errorf("a revoked key gets %d", got)
	}
}

// A customer who sends more than 300 requests a second gets 429; another, at another
// address, orders all the while.
func TestOneCustomersFlood(t *testing.T) {
	s := theShop(t)
	const body = `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`
	eve := ask.Request{Method: http.MethodPost, URL: s.URL + "/v1/orders", Token: token(s, "customer", "eve"), Body: "{}"}
	ada := ask.Request{Method: http.MethodPost, URL: s.URL + "/v1/orders", Token: token(s, "customer", "ada"), Body: body}
	var refused, unexplained atomic.Int64
	var flood sync.WaitGroup
	for range 20 {
		flood.Go(func() {
			for range 60 {
				answer, err := eve.Send(t.Context(), http.DefaultClient)
				if err != nil {
					t.Error(err)
					return
				}
				if answer.Status == http.StatusTooManyRequests {
					refused.Add(1)
					if answer.Header.Get("Retry-After") == "" {
						unexplained.Add(1)
					}
				}
			}
		})
	}
	elsewhere := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: s.client(0)}}).DialContext,
	}}
	for i := range 10 {
		ada.Key = fmt.Sprint("flood-", i)
		if answer, err := ada.Send(t.Context(), elsewhere); err != nil || answer.Status != http.StatusCreated {
			t.Errorf("another customer's order gets %d: %v", answer.Status, err)
		}
	}
	flood.Wait()
	if refused.Load() < 100 || unexplained.Load() > 0 {
		t.Errorf("of 1200 requests %d were refused, %d of them without Retry-After", refused.Load(), unexplained.Load())
	}
}
