package web

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// identityProvider is an issuer, with what it answers for its keys; nil while it is down.
type identityProvider struct {
	*httptest.Server
	keys  atomic.Pointer[string]
	asked atomic.Int64 // for the keys
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	p := &identityProvider{Server: httptest.NewUnstartedServer(nil)}
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := p.keys.Load()
		switch {
		case keys == nil:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/keys":
			p.asked.Add(1)
			fmt.Fprint(w, *keys)
		default:
			const configuration = `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys","id_token_signing_alg_values_supported":["HS256"]}`
			fmt.Fprintf(w, configuration, p.URL)
		}
	})
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// publish makes the keys those with these ids, beside one of a kind that is not known.
func (p *identityProvider) publish(t *testing.T, keys map[string]ed25519.PrivateKey) {
	t.Helper()
	list := []any{map[string]string{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "odd"}}
	for id, key := range keys {
		list = append(list, jose.JSONWebKey{Key: key.Public(), KeyID: id})
	}
	text, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	set := string(text)
	p.keys.Store(&set)
}

func (p *identityProvider) verifier(t *testing.T, refresh time.Duration) *Verifier {
	t.Helper()
	v, err := NewVerifier(Auth{Issuer: p.URL, Audience: "app", Refresh: refresh})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// accepts reports whether the verifier takes a token of ann from the issuer, by the key.
func accepts(t *testing.T, v *Verifier, key ed25519.PrivateKey, id, from string) bool {
	t.Helper()
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
	who, err := v.verify(t.Context(), "Bearer "+token)
	return err == nil && who == ann
}

// becomes waits until a state holds, which some refreshes bring about.
func becomes(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: ", what)
		}
	}
}

// A client can make up tokens with unknown keys: 200 of them do not cost the issuer a request each.
func TestMadeUpKeysCostTheIssuerNothing(t *testing.T) {
	t.Parallel()
	_, good, _ := ed25519.GenerateKey(nil)
	_, foreign, _ := ed25519.GenerateKey(nil)
	p := newIdentityProvider(t)
	p.publish(t, map[string]ed25519.PrivateKey{"good": good})
	v := p.verifier(t, time.Hour)
	began := time.Now()
	for i := range 200 {
		if accepts(t, v, foreign, fmt.Sprint("made-up-", i), p.URL) || accepts(t, v, foreign, "good", p.URL) ||
			accepts(t, v, foreign, "", p.URL) || accepts(t, v, good, "good", "https://else.test") {
			t.Error("a made-up key was accepted, or another issuer's token")
		}
		if !accepts(t, v, good, "good", p.URL) || !accepts(t, v, good, "", p.URL) {
			t.Error("a good key was refused")
		}
	}
	if n := p.asked.Load(); n > 1+int64(time.Since(began)/forcedEvery) {
		t.Errorf("the issuer was asked %d times for its keys", n)
	}
}

// A key that the issuer removes stops working, also in tokens that were accepted before, and a new
// one works. An issuer that is down changes nothing.
func TestTheIssuersKeysChange(t *testing.T) {
	t.Parallel()
	_, first, _ := ed25519.GenerateKey(nil)
	_, second, _ := ed25519.GenerateKey(nil)
	p := newIdentityProvider(t)
	p.publish(t, map[string]ed25519.PrivateKey{"first": first})
	v := p.verifier(t, time.Hour)
	if !accepts(t, v, first, "first", p.URL) {
		t.Fatal("the first key was refused")
	}
	p.publish(t, map[string]ed25519.PrivateKey{"second": second})
	if err := v.keys.refresh(0); err != nil {
		t.Fatal(err)
	}
	if accepts(t, v, first, "first", p.URL) || !accepts(t, v, second, "second", p.URL) {
		t.Error("the removed key is accepted, or the new one refused")
	}
	p.keys.Store(nil)
	if err := v.keys.refresh(0); err == nil || !accepts(t, v, second, "second", p.URL) {
		t.Error("while the issuer is down, its key is refused", err)
	}
	for _, broken := range []string{"{}", "<html>", `{"keys":{}}`} {
		p.keys.Store(&broken)
		if err := v.keys.refresh(0); err == nil || !accepts(t, v, second, "second", p.URL) {
			t.Errorf("%s is taken for a key set", broken)
		}
	}
	none := `{"keys":[]}`
	p.keys.Store(&none)
	if err := v.keys.refresh(0); err != nil || accepts(t, v, second, "second", p.URL) {
		t.Error("the last key was removed, and is accepted", err)
	}
}

// A process starts while its issuer is down. It is not ready, and by itself becomes so.
func TestAnUnreachableIssuerIsWaitedFor(t *testing.T) {
	t.Parallel()
	_, key, _ := ed25519.GenerateKey(nil)
	p := newIdentityProvider(t)
	v := p.verifier(t, 10*time.Millisecond)
	go func() { _ = v.Run(t.Context(), silent) }()
	if err := v.Ready(t.Context()); err == nil || accepts(t, v, key, "key", p.URL) {
		t.Errorf("ready (%v) without a key", err)
	}
	p.publish(t, map[string]ed25519.PrivateKey{"key": key})
	becomes(t, "ready", func() bool { return v.Ready(t.Context()) == nil })
	if !accepts(t, v, key, "key", p.URL) {
		t.Error("the key was refused")
	}
	p.publish(t, nil)
	becomes(t, "the removed key is refused", func() bool { return !accepts(t, v, key, "key", p.URL) })
}

// A file of keys is read again. Keys that cannot be read again are used for an hour, and no longer.
func TestAKeyFileIsReadAgain(t *testing.T) {
	t.Parallel()
	oldPublic, old, _ := ed25519.GenerateKey(nil)
	public, key, _ := ed25519.GenerateKey(nil)
	path := filepath.Join(t.TempDir(), "keys.pem")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Auth{PublicKeyFile: path, PublicKey: pemOf(t, oldPublic)} // which a process has from its file
	synctest.Test(t, func(t *testing.T) {
		cfg.Issuer, cfg.Audience, cfg.Refresh = issuer, "app", time.Minute
		write(pemOf(t, oldPublic))
		v, err := NewVerifier(cfg)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = v.Run(t.Context(), silent) }()
		judge := func(when string, wantOld, want bool) {
			t.Helper()
			gotOld, got := accepts(t, v, old, "", issuer), accepts(t, v, key, "", issuer)
			if gotOld != wantOld || got != want {
				t.Errorf("%s: the old key is accepted: %v, the new one: %v", when, gotOld, got)
			}
		}
		judge("before", true, false)
		write(pemOf(t, oldPublic) + pemOf(t, public))
		time.Sleep(cfg.Refresh + time.Second)
		judge("while both are valid", true, true)
		write(pemOf(t, public))
		time.Sleep(cfg.Refresh)
		judge("after", false, true)
		write("")
		time.Sleep(keysHold / 2)
		judge("unreadable", false, true)
		time.Sleep(keysHold)
		judge("unreadable for too long", false, false)
		if v.Ready(t.Context()) == nil {
			t.Error("ready with keys that are too old")
		}
	})
}
