package web

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Without a key, the issuer's keys are used. A client can make up tokens with unknown keys: they do
// not cost the issuer a request each, nor when it has failed, or it could not recover.
func TestMadeUpKeysCostTheIssuerNothing(t *testing.T) {
	t.Parallel()
	_, good, _ := ed25519.GenerateKey(nil)
	_, foreign, _ := ed25519.GenerateKey(nil)
	for _, down := range []bool{false, true} {
		var asked atomic.Int64
		provider := httptest.NewUnstartedServer(nil)
		provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/keys" {
				const configuration = `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys","id_token_signing_alg_values_supported":["HS256"]}`
				fmt.Fprintf(w, configuration, provider.URL)
				return
			}
			asked.Add(1)
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			keys := []jose.JSONWebKey{{Key: good.Public(), KeyID: "good"}}
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: keys})
		})
		provider.Start()
		t.Cleanup(provider.Close)
		verifier, err := NewVerifier(t.Context(), Auth{Issuer: provider.URL, Audience: "app"})
		if err != nil {
			t.Fatal(err)
		}
		verify := func(key ed25519.PrivateKey, id, from string) bool {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			claims := strings.Replace(claimsOf(`"sub":"ann","role":"customer"`, claim("exp", time.Hour)), issuer, from, 1)
			signed, err := signer.Sign([]byte(claims))
			if err != nil {
				t.Fatal(err)
			}
			token, _ := signed.CompactSerialize()
			who, err := verifier.verify(t.Context(), "Bearer "+token)
			return err == nil && who == ann
		}
		began := time.Now()
		for i := range 50 {
			if verify(foreign, fmt.Sprint("made-up-", i), provider.URL) || verify(foreign, "good", provider.URL) ||
				verify(foreign, "", provider.URL) || verify(good, "good", "https://else.test") {
				t.Error("a made-up key was accepted, or another issuer's token")
			}
			if verify(good, "good", provider.URL) == down {
				t.Errorf("a good key was judged wrongly; the issuer is down: %v", down)
			}
		}
		most := int64(1)
		if down {
			most += int64(time.Since(began) / time.Second)
		}
		if n := asked.Load(); n > most {
			t.Errorf("the issuer was asked %d times for its keys, want at most %d", n, most)
		}
	}
	_, err := NewVerifier(t.Context(), Auth{Issuer: "http://127.0.0.1:1"})
	if err == nil || !strings.Contains(err.Error(), "AUTH_ISSUER") {
		t.Errorf("an unreachable issuer: %v", err)
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
	long, short, failed := newDiscovery(1<<62, 0), newDiscovery(0, 0), newDiscovery(0, 1<<62)
	for i, c := range []struct {
		discovery *discovery
		want      string
	}{
		{long, "503 1"}, {long, "200 2"}, {long, "200 2"}, {short, "200 3"}, {short, "200 4"},
		{long, "200 2"}, {failed, "503 5"}, {failed, "503 5"},
	} {
		response, err := (&http.Client{Transport: c.discovery}).Get(provider.URL)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if got := fmt.Sprint(response.StatusCode, " ", string(text)); got != c.want {
			t.Errorf("%d: got %s, want %s", i, got, c.want)
		}
	}
}
