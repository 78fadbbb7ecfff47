package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-jose/go-jose/v4"

	"example.com/shop/platform/events"
)

func TestAccess(t *testing.T) {
	b := newBench(t, Config{})
	_, foreign, _ := ed25519.GenerateKey(rand.Reader)
	elliptical, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	sign := func(change func(map[string]any)) string { return "Bearer " + b.token(t, jose.EdDSA, b.key, change) }
	set := func(claim string, value any) string { return sign(func(c map[string]any) { c[claim] = value }) }

	for name, c := range map[string]struct {
		target, authorization string
		status                int
	}{
		"no token":             {"/v1/things/who", "", 401},
		"garbage":              {"/v1/things/who", "Bearer garbage", 401},
		"other scheme":         {"/v1/things/who", "Basic YTpi", 401},
		"expired":              {"/v1/things/who", set("exp", time.Now().Add(-time.Second).Unix()), 401},
		"no expiry":            {"/v1/things/who", sign(func(c map[string]any) { delete(c, "exp") }), 401},
		"not yet valid":        {"/v1/things/who", set("nbf", time.Now().Add(time.Hour).Unix()), 401},
		"wrong audience":       {"/v1/things/who", set("aud", "bank"), 401},
		"wrong issuer":         {"/v1/things/who", set("iss", "https://else.test"), 401},
		"no subject":           {"/v1/things/who", set("sub", ""), 401},
		"subject with NUL":     {"/v1/things/who", set("sub", "a\x00b"), 401},
		"unknown role":         {"/v1/things/who", set("role", "root"), 401},
		"other key":            {"/v1/things/who", "Bearer " + b.token(t, jose.EdDSA, foreign, nil), 401},
		"other kind of key":    {"/v1/things/who", "Bearer " + b.token(t, jose.ES256, elliptical, nil), 401},
		"public key as HMAC":   {"/v1/things/who", "Bearer " + b.token(t, jose.HS256, []byte(b.key.Public().(ed25519.PublicKey)), nil), 401},
		"algorithm not listed": {"/v1/things/who", "Bearer " + b.token(t, jose.RS512, b.rsa, nil), 401},
		"second key":           {"/v1/things/who", "Bearer " + b.token(t, jose.RS256, b.rsa, nil), 200},
		"alg none":             {"/v1/things/who", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0In0.", 401},
		"another role":         {"/v1/things/staff", sign(nil), 403},
		"staff is no superset": {"/v1/things/who", set("role", "staff"), 403},
		"customer":             {"/v1/things/who", sign(nil), 200},
		"several audiences":    {"/v1/things/who", set("aud", []string{"bank", "shop"}), 200},
		"lower-case scheme":    {"/v1/things/who", strings.Replace(sign(nil), "Bearer", "bearer", 1), 200},
		"staff":                {"/v1/things/staff", set("role", "staff"), 204},
		"public":               {"/v1/things", "", 200},
		"public with garbage":  {"/v1/things", "Bearer garbage", 200},
	} {
		t.Run(name, func(t *testing.T) {
			answer, p := b.send(t, http.MethodGet, c.target, "", "Authorization", c.authorization)
			if answer.StatusCode != c.status {
				t.Errorf("got %d %v, want %d", answer.StatusCode, p, c.status)
			}
			if got := answer.Header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		})
	}

	// What a token says can be read in one way only.
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"aud":"shop","exp":%d%s}`, issuer, time.Now().Add(time.Hour).Unix(), more)
	}
	for payload, status := range map[string]int{
		claims(`,"sub":"ann","role":"customer","Name":"x","name":"y"`):                     200,
		claims(`,"sub":"ann","role":"staff","ROLE":"customer"`):                            401,
		claims(`,"sub":"ann","ROLE":"customer","role":"staff"`):                            401,
		claims(`,"sub":"ann","role":"staff","role":"customer"`):                            401,
		claims(`,"sub":"ann","rOLE":"customer"`):                                           401,
		claims(`,"sub":"ann","role":["customer"]`):                                         401,
		claims(`,"sub":"bob","sub":"ann","role":"customer"`):                               401,
		claims(`,"sub":"bob","SUB":"ann","role":"customer"`):                               401,
		claims(`,"ſub":"ann","role":"customer"`):                                           401, // U+017F folds to s
		claims(`,"sub":"ann","role":"customer","aud":"bank"`):                              401,
		claims(`,"sub":"ann","role":"customer","AUD":"shop"`):                              401,
		claims(`,"sub":"ann","role":"customer","Exp":1`):                                   401,
		claims(`,"sub":"ann","role":"customer","EXP":9999999999`):                          401,
		claims(`,"sub":"ann","role":"customer","iſs":"x"`):                                 401,
		claims(`,"sub":"` + strings.Repeat("a", 255) + `","role":"customer"`):              200,
		claims(`,"sub":"` + strings.Repeat("a", 256) + `","role":"customer"`):              401,
		claims(`,"sub":"` + strings.Repeat("ł", 128) + `","role":"customer"`):              401,
		claims(`,"sub":"` + strings.Repeat("a", 6000) + `","role":"customer"`):             401,
		claims(",\"sub\":\"ann\xff\",\"role\":\"customer\""):                               401,
		claims(`,"sub":"ann\ud800","role":"customer"`):                                     401,
		claims(`,"sub":"ann","role":"customer","x":[` + strings.Repeat("1,", 5000) + "1]"): 401,
	} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: b.key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := signed.CompactSerialize()
		if answer, p := b.send(t, http.MethodGet, "/v1/things/who", "", "Authorization", "Bearer "+text); answer.StatusCode != status {
			t.Errorf("%.200q: %d %v, want %d", payload, answer.StatusCode, p, status)
		}
	}

	answer, _ := b.send(t, http.MethodGet, "/v1/things/who", "", "Authorization", sign(nil))
	var who Principal
	if err := json.NewDecoder(answer.Body).Decode(&who); err != nil || who != (Principal{"ann", "customer"}) {
		t.Errorf("principal is %v (%v)", who, err)
	}
}

func TestVerifierRefusesBadKeys(t *testing.T) {
	for _, setting := range []string{"/does/not/exist", "-----BEGIN nothing", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"} {
		if _, err := NewVerifier(t.Context(), Auth{PublicKey: setting}); err == nil || !strings.Contains(err.Error(), "AUTH_PUBLIC_KEY") {
			t.Errorf("%q: %v", setting, err)
		}
	}
	if _, err := NewVerifier(t.Context(), Auth{Issuer: "http://127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "AUTH_ISSUER") {
		t.Errorf("unreachable issuer: %v", err)
	}
}

// Without a key, the issuer's keys are used.
func TestDiscovery(t *testing.T) {
	b := newBench(t, Config{})
	provider := httptest.NewUnstartedServer(nil)
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			fmt.Fprintf(w, `{"issuer":"%[1]s","jwks_uri":"%[1]s/keys","id_token_signing_alg_values_supported":["HS256"]}`, provider.URL)
		case "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: b.key.Public()}}})
		}
	})
	provider.Start()
	defer provider.Close()
	verifier, err := NewVerifier(t.Context(), Auth{Issuer: provider.URL, Audience: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	good := b.token(t, jose.EdDSA, b.key, func(c map[string]any) { c["iss"] = provider.URL })
	if who, err := verifier.verify(t.Context(), "Bearer "+good); err != nil || who.Subject != "ann" {
		t.Errorf("got %v %v", who, err)
	}
	if who, err := verifier.verify(t.Context(), b.customer(t)); err == nil {
		t.Errorf("another issuer's token was taken for %v", who)
	}
}

// An event that a request publishes names the request, its caller and its trace.
func TestEventsKnowTheirOrigin(t *testing.T) {
	b := newBench(t, Config{})
	var got events.Cause
	err := b.Mount("things", func(api huma.API) {
		for path, access := range map[string][]map[string][]string{"/v1/things": Customer, "/v1/things/open": Public} {
			op := huma.Operation{Method: http.MethodPost, Path: path, Security: access}
			huma.Register(api, op, func(ctx context.Context, _ *nothing) (*nothing, error) {
				got = events.CauseOf(ctx)
				return &nothing{}, nil
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	trace := "0af7651916cd43dd8448eb211c80319c"
	for path, actor := range map[string]string{"/v1/things": "customer:ann", "/v1/things/open": "anonymous"} {
		b.send(t, http.MethodPost, path, "", "Authorization", b.customer(t), "X-Request-Id", "req-7",
			"Traceparent", "00-"+trace+"-b7ad6b7169203331-00", "Tracestate", "a="+strings.Repeat("b", 250))
		if _, there := got["tracestate"]; there {
			t.Errorf("%s: the event keeps what a client's vendor says: %v", path, got)
		}
		if got["correlationid"] != "req-7" || got["actor"] != actor || !strings.Contains(got["traceparent"], trace) {
			t.Errorf("%s: the event's cause is %v", path, got)
		}
	}
}
