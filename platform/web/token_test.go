package web

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What other verifiers were made to take, or fell over: a token is signed by one of our keys, in
// the compact form, and says when it ends.
func TestTokensThatFooledOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	claims := func(more string) string {
		return fmt.Sprintf(`{"iss":%q,"aud":"shop","sub":"ann","role":"customer"%s}`, issuer, more)
	}
	good := claims(fmt.Sprintf(`,"exp":%d`, time.Now().Add(time.Hour).Unix()))
	sign := func(payload string, headers map[jose.HeaderKey]any) *jose.JSONWebSignature {
		options := &jose.SignerOptions{ExtraHeaders: headers}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: b.key}, options)
		if err != nil {
			t.Fatal(err)
		}
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	compact := func(payload string, headers map[jose.HeaderKey]any) string {
		text, err := sign(payload, headers).CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	token := compact(good, nil)
	header, rest, _ := strings.Cut(token, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	public := jose.JSONWebKey{Key: b.key.Public()}
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"good":                           {token, 200},
		"with a key of its own":          {compact(good, map[jose.HeaderKey]any{"jwk": public}), 200}, // which is not looked at
		"full serialization":             {sign(good, nil).FullSerialize(), 401},
		"full, with dots":                {strings.Replace(sign(good, nil).FullSerialize(), `"payload"`, `"a.b.c":1,"payload"`, 1), 401},
		"unencoded payload":              {header + "." + good + "." + strings.Split(rest, ".")[1], 401},
		"padded":                         {header + "." + strings.Split(rest, ".")[0] + "==." + strings.Split(rest, ".")[1], 401},
		"header twice":                   {encode(`{"alg":"none","alg":"EdDSA"}`) + "." + rest, 401},
		"algorithm in other letters":     {encode(`{"alg":"eddsa"}`) + "." + rest, 401},
		"none in other letters":          {encode(`{"alg":"nOnE"}`) + "." + strings.Split(rest, ".")[0] + ".", 401},
		"critical extension":             {compact(good, map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}), 401},
		"five parts":                     {token + ".a.b", 401},
		"dots":                           {strings.Repeat(".", 12<<10), 401},
		"no end":                         {compact(claims(""), nil), 401},
		"end is null":                    {compact(claims(`,"exp":null`), nil), 401},
		"end is text":                    {compact(claims(`,"exp":"9999999999"`), nil), 200},
		"end is text, and over":          {compact(claims(`,"exp":"1"`), nil), 401},
		"end beyond all numbers":         {compact(claims(`,"exp":1e400`), nil), 401},
		"end beyond an integer":          {compact(claims(`,"exp":1e300`), nil), 401},
		"end before all time":            {compact(claims(`,"exp":-1e300`), nil), 401},
		"end with a fraction":            {compact(claims(fmt.Sprintf(`,"exp":%d.5`, time.Now().Add(time.Hour).Unix())), nil), 200},
		"no audience":                    {compact(strings.Replace(good, `"aud":"shop"`, `"aud":[]`, 1), nil), 401},
		"audience in a list in a list":   {compact(strings.Replace(good, `"aud":"shop"`, `"aud":[["shop"]]`, 1), nil), 401},
		"issuer with a slash at its end": {compact(strings.Replace(good, issuer, issuer+"/", 1), nil), 401},
	} {
		answer, p := b.send(t, http.MethodGet, "/v1/things/who", "", "Authorization", "Bearer "+c.text)
		if answer.StatusCode != c.status {
			t.Errorf("%s: %d %v, want %d", name, answer.StatusCode, p, c.status)
		}
	}
}

// A token that was verified is believed for a while, and no longer than it says.
func TestAnExpiredTokenIsBelievedNoMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	text := b.token(t, jose.EdDSA, b.key, func(claims map[string]any) { claims["exp"] = time.Now().Add(4 * time.Second).Unix() })
	if answer, p := b.send(t, http.MethodGet, "/v1/things/who", "", "Authorization", "Bearer "+text); answer.StatusCode != http.StatusOK {
		t.Fatalf("%d %v, before it has expired", answer.StatusCode, p)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		answer, _ := b.send(t, http.MethodGet, "/v1/things/who", "", "Authorization", "Bearer "+text)
		if answer.StatusCode == http.StatusUnauthorized {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %d, after it has expired", answer.StatusCode)
		}
	}
}
