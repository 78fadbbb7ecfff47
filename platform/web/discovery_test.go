package web

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyServer is an issuer that counts how often it is asked for its keys.
func keyServer(t *testing.T, keys func() []jose.JSONWebKey) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	provider := httptest.NewUnstartedServer(nil)
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			fmt.Fprintf(w, `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, provider.URL)
			return
		}
		asked.Add(1)
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys()})
	})
	provider.Start()
	t.Cleanup(provider.Close)
	return provider.URL, asked
}

// named makes a key into one that signs under a name.
func named(key ed25519.PrivateKey, id string) *jose.JSONWebKey {
	return &jose.JSONWebKey{Key: key, KeyID: id}
}

// A client can make up tokens with unknown keys. They do not cost the issuer a request each.
func TestMadeUpKeysCostTheIssuerNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	url, asked := keyServer(t, func() []jose.JSONWebKey { return []jose.JSONWebKey{named(b.key, "good").Public()} })
	verifier, err := NewVerifier(t.Context(), Auth{Issuer: url, Audience: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	token := func(key ed25519.PrivateKey, id string) string {
		return "Bearer " + b.token(t, jose.EdDSA, named(key, id), func(c map[string]any) { c["iss"] = url })
	}
	for i := range 50 {
		for _, made := range []string{token(foreign, fmt.Sprint("made-up-", i)), token(foreign, "good"), token(foreign, "")} {
			if who, err := verifier.verify(t.Context(), made); err == nil {
				t.Errorf("a made-up key was accepted for %v", who)
			}
		}
		if _, err := verifier.verify(t.Context(), token(b.key, "good")); err != nil {
			t.Error(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the issuer was asked %d times for its keys", n)
	}
}

// Nor do they when the issuer has failed, or it could not recover.
func TestAFailingIssuerIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	var asked atomic.Int64
	provider := httptest.NewUnstartedServer(nil)
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			asked.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys"}`, provider.URL)
	})
	provider.Start()
	t.Cleanup(provider.Close)
	verifier, err := NewVerifier(t.Context(), Auth{Issuer: provider.URL, Audience: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range 50 {
		made := "Bearer " + b.token(t, jose.EdDSA, named(b.key, fmt.Sprint("made-up-", i)), func(c map[string]any) { c["iss"] = provider.URL })
		if _, err := verifier.verify(t.Context(), made); err == nil {
			t.Error("a made-up key was accepted")
		}
	}
	if n, most := asked.Load(), 1+int64(time.Since(began)/time.Second); n > most {
		t.Errorf("the issuer was asked %d times for its keys, want at most %d", n, most)
	}
}

// A cached response expires.
func TestNewKeysAreFound(t *testing.T) {
	t.Parallel()
	var version atomic.Int64
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if now := version.Add(1); now == 1 || now == 5 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, version.Load())
	}))
	t.Cleanup(provider.Close)
	ask := func(d *discovery) string {
		response, err := (&http.Client{Transport: d}).Get(provider.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return fmt.Sprint(response.StatusCode, " ", string(text))
	}
	long, short, failed := newDiscovery(1<<62, 0), newDiscovery(0, 0), newDiscovery(0, 1<<62)
	for i, c := range []struct {
		discovery *discovery
		want      string
	}{{long, "503 1"}, {long, "200 2"}, {long, "200 2"}, {short, "200 3"}, {short, "200 4"}, {long, "200 2"}, {failed, "503 5"}, {failed, "503 5"}} {
		if got := ask(c.discovery); got != c.want {
			t.Errorf("%d: got %s, want %s", i, got, c.want)
		}
	}
}
