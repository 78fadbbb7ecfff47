package web

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
)

// ann is who a good token names.
var ann = Principal{"ann", "customer"}

// claimsOf are a token's claims: of our issuer, for our audience, issued just now, and more.
func claimsOf(more ...string) string {
	return issuedAt(claim("iat", 0), more...)
}

// issuedAt is claimsOf with another iat; "" for none.
func issuedAt(iat string, more ...string) string {
	if iat != "" {
		more = append(more, iat)
	}
	return fmt.Sprintf(`{"iss":%q,"aud":"app",%s}`, issuer, strings.Join(more, ","))
}

// claim is one that is a time from now.
func claim(name string, from time.Duration) string {
	return fmt.Sprintf(`"%s":%d`, name, time.Now().Add(from).Unix())
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// judge expects that verify accepts or refuses each, and makes all of them seeds.
func (b *bench) judge(f *testing.F, header func(text string) string, accepted, refused []string) {
	f.Helper()
	for i, text := range slices.Concat(accepted, refused) {
		f.Add(text)
		who, err := b.verifier.verify(f.Context(), header(text))
		if (err == nil) != (i < len(accepted)) {
			f.Errorf("%.300q is taken for %v (%v)", text, who, err)
		}
	}
}

// An Authorization header is refused, or names whom the one token that was signed names. A token is
// signed by one of our keys, in the compact form: the rest is what other verifiers were made to
// take, or fell over.
func FuzzToken(f *testing.F) {
	b := newBench(f, Config{})
	claims := claimsOf(`"sub":"ann","role":"customer"`, claim("exp", 24*time.Hour))
	sign := func(alg jose.SignatureAlgorithm, key any, headers map[jose.HeaderKey]any) *jose.JSONWebSignature {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, &jose.SignerOptions{ExtraHeaders: headers})
		if err != nil {
			f.Fatal(err)
		}
		signed, err := signer.Sign([]byte(claims))
		if err != nil {
			f.Fatal(err)
		}
		return signed
	}
	compact := func(alg jose.SignatureAlgorithm, key any, headers map[jose.HeaderKey]any) string {
		text, _ := sign(alg, key, headers).CompactSerialize()
		return "Bearer " + text
	}
	typed := func(typ string) string { return compact(jose.EdDSA, b.key, map[jose.HeaderKey]any{"typ": typ}) }
	_, foreign, _ := ed25519.GenerateKey(nil)
	elliptical, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	second, _ := secondKey()
	good, full := b.sign(claims), sign(jose.EdDSA, b.key, nil).FullSerialize()
	parts := strings.Split(good, ".")
	header, payload, signature := parts[0], parts[1], parts[2]
	b.judge(f, func(text string) string { return text }, []string{
		"Bearer " + good, "bearer " + good, "Bearer  " + good,
		compact(jose.RS256, second, nil), // the second key
		compact(jose.EdDSA, b.key, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: b.key.Public()}}), // which is not looked at
		typed("JWT"), typed("jwt"), typed("at+jwt"), typed("application/at+JWT"),
	}, []string{
		"", "Bearer", "Bearer ", "Bearer garbage", "Bearer ..", "Basic " + good, "Bearer\t" + good,
		"Bearer " + good + "=", "Bearer " + good + "." + signature, "Bearer " + good + ".a.b", "Bearer " + strings.Repeat(".", 12<<10),
		"Bearer " + header + "." + payload + ".", "Bearer " + header + "." + payload[:len(payload)-1] + "." + signature,
		"Bearer " + header + "." + payload + "==." + signature, "Bearer " + header + "." + claims + "." + signature,
		"Bearer " + encode(`{"alg":"none"}`) + "." + payload + ".", "Bearer " + encode(`{"alg":"nOnE"}`) + "." + payload + ".",
		"Bearer " + encode(`{"alg":"none","alg":"EdDSA"}`) + "." + payload + "." + signature,
		"Bearer " + encode(`{"alg":"eddsa"}`) + "." + payload + "." + signature,
		"Bearer " + full, "Bearer " + strings.Replace(full, `"payload"`, `"a.b.c":1,"payload"`, 1),
		compact(jose.EdDSA, foreign, nil), compact(jose.ES256, elliptical, nil), compact(jose.RS512, second, nil),
		compact(jose.HS256, []byte(b.key.Public().(ed25519.PublicKey)), nil), // the public key as a secret
		compact(jose.EdDSA, b.key, map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}),
		typed("logout+jwt"), typed("secevent+jwt"), typed(""), typed("jose+json"), typed("application/dpop+jwt"),
		compact(jose.EdDSA, b.key, map[jose.HeaderKey]any{"typ": 1}),
	})
	f.Fuzz(func(t *testing.T, header string) {
		who, err := b.verifier.verify(t.Context(), header)
		if err == nil && who != ann || err != nil && who != (Principal{}) {
			t.Errorf("%q is taken for %+v (%v)", header, who, err)
		}
	})
}

// Claims that were signed are read as they are written: each name in its own case and once, or not
// at all.
func FuzzClaims(f *testing.F) {
	b := newBench(f, Config{})
	who, exp := `"sub":"ann","role":"customer"`, claim("exp", 24*time.Hour)
	of := func(subject, role string) string { return claimsOf(`"sub":"`+subject+`","role":"`+role+`"`, exp) }
	good := claimsOf(who, exp)
	b.judge(f, func(claims string) string { return "Bearer " + b.sign(claims) }, []string{
		good, claimsOf(who, exp, `"Name":"x","name":"y"`), claimsOf(who, exp, `"nbf":0`),
		strings.Replace(good, `"app"`, `["bank","app"]`, 1), of(strings.Repeat("a", 255), "staff"),
		claimsOf(who, exp+".5"), claimsOf(who, strings.Replace(exp, ":", `:"`, 1)+`"`), // as a text
		issuedAt(claim("iat", -24*time.Hour), who, claim("exp", time.Hour)), issuedAt(claim("iat", leeway/2), who, exp),
		strings.Replace(of("ann", "customer"), `"app"`, `["app","app-internal"]`, 1),
		strings.Replace(of("ann", "service"), `"app"`, `["app","app-internal"]`, 1),
		strings.Replace(issuedAt(claim("iat", -20*24*time.Hour), `"sub":"ann","role":"service"`, exp), `"app"`, `"app-internal"`, 1),
	}, []string{
		// Issued in the future, at no time, or for too long; a service's for a customer's audience, and
		// the other way round.
		issuedAt(claim("iat", time.Hour), who, claim("exp", 2*time.Hour)), issuedAt("", who, exp), claimsOf(who, exp, `"IAT":0`),
		issuedAt(`"iat":0`, who, exp), issuedAt(`"iat":null`, who, exp), issuedAt(claim("iat", -48*time.Hour), who, exp),
		claimsOf(who, `"exp":9999999999`), of("ann", "service"), strings.Replace(good, `"app"`, `"app-internal"`, 1),
		strings.Replace(issuedAt(claim("iat", -31*24*time.Hour), `"sub":"ann","role":"service"`, exp), `"app"`, `"app-internal"`, 1),
		"null", "[]", good + " {", strings.Replace(good, `"app"`, `"bank"`, 1), strings.Replace(good, `"app"`, "[]", 1),
		strings.Replace(good, `"app"`, `[["app"]]`, 1), strings.Replace(good, issuer, issuer+"/", 1),
		strings.Replace(good, issuer, "https://else.test", 1),
		claimsOf(who), claimsOf(who, claim("exp", -time.Second)), claimsOf(who, exp, claim("nbf", time.Hour)),
		claimsOf(who, `"exp":null`), claimsOf(who, `"exp":"1"`), claimsOf(who, `"exp":1e400`), claimsOf(who, `"exp":1e300`),
		claimsOf(who, `"exp":-1e300`), claimsOf(exp, `"role":"customer"`), claimsOf(exp, `"sub":"ann"`), of("ann", "root"),
		of("", "customer"), of(`a\nb`, "customer"), of(`a\u0000b`, "customer"),
		of("ann\xff", "customer"), of(`ann\ud800`, "customer"),
		of(strings.Repeat("a", 256), "customer"), of(strings.Repeat("ł", 128), "customer"), of(strings.Repeat("a", 6000), "customer"),
		claimsOf(exp, `"sub":"ann","role":["customer"]`), claimsOf(exp, `"sub":"ann","rOLE":"customer"`),
		claimsOf(exp, `"ſub":"ann","role":"customer"`), // U+017F folds to s
		claimsOf(who, exp, `"ROLE":"staff"`), claimsOf(exp, `"ROLE":"staff"`, who), claimsOf(who, exp, `"role":"staff"`),
		claimsOf(exp, `"sub":"bob"`, who), claimsOf(who, exp, `"SUB":"bob"`), claimsOf(who, exp, `"aud":"bank"`),
		claimsOf(who, exp, `"AUD":"app"`), claimsOf(who, exp, `"Exp":1`), claimsOf(who, exp, `"EXP":9999999999`),
		claimsOf(who, exp, `"iſs":"x"`), claimsOf(who, exp, `"x":1e999`), claimsOf(who, exp, `"x":"\u0000"`),
		claimsOf(who, exp, `"x":[`+strings.Repeat("1,", 5000)+"1]"),
	})
	f.Fuzz(func(t *testing.T, claims string) {
		who, err := b.verifier.verify(t.Context(), "Bearer "+b.sign(claims))
		if err != nil {
			return
		}
		var named map[string]any
		if err := json.Unmarshal([]byte(claims), &named); err != nil { // which refuses a name that occurs twice
			t.Fatalf("%q is taken for %+v although %v", claims, who, err)
		}
		audiences, many := named["aud"].([]any)
		if !many {
			audiences = []any{named["aud"]}
		}
		audience := "app"
		if who.Role == "service" {
			audience = "app-internal"
		}
		expiry, _ := strconv.ParseFloat(fmt.Sprint(named["exp"]), 64)
		if named["iss"] != issuer || !slices.Contains(audiences, any(audience)) || named["sub"] != who.Subject || named["role"] != who.Role ||
			expiry < float64(time.Now().Unix()) {
			t.Errorf("%q is taken for %+v", claims, who)
		}
		// A subject is part of an index's key, which PostgreSQL bounds.
		if strings.ContainsFunc(who.Subject, unicode.IsControl) || len(who.Subject) > 255 || who.Subject == "" {
			t.Errorf("a subject of %d bytes: %q", len(who.Subject), who.Subject)
		}
	})
}

// A token that was verified is believed for a while, and no longer than it says.
func TestAnExpiredTokenIsBelievedNoMore(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	synctest.Test(t, func(t *testing.T) {
		token := "Bearer " + b.sign(claimsOf(`"sub":"ann","role":"customer"`, claim("exp", 4*time.Second)))
		for _, good := range []bool{true, true, false} {
			if who, err := b.verifier.verify(t.Context(), token); (err == nil) != good {
				t.Errorf("at %s: %v (%v), want %v", time.Now(), who, err, good)
			}
			time.Sleep(3 * time.Second)
		}
	})
}

// A key survives the ways in which files of settings and shells write it. What is none is refused,
// and a private key, which is set by mistake, is not printed.
func TestPublicKeys(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(nil)
	text := pemOf(t, public)
	lines := strings.Split(text, "\n")
	for name, setting := range map[string]string{
		"PEM": text, "one line": strings.Join(lines[1:len(lines)-2], ""),
		"PEM with Windows's ends of line":       strings.ReplaceAll(text, "\n", "\r\n"),
		"PEM whose ends of line are a \\ and n": strings.ReplaceAll(text, "\n", `\n`),
	} {
		set, err := newKeySet(Auth{PublicKey: setting})
		if err != nil || len(set.last.Load().list) != 1 || !public.Equal(set.last.Load().list[0].Key) {
			t.Errorf("%s: got %v, %v", name, set, err)
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString(der)
	for setting, says := range map[string]string{
		"keys/missing": "not a public key", // as base64 it could be one
		"/key.pem":     "no PEM block in it; AUTH_PUBLIC_KEY_FILE names a file", "-----BEGIN nothing": "no PEM block",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----":             "not a public key",
		"-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----": "not a public key",
		secret: "", secret + "\x00": "", base64.StdEncoding.EncodeToString(private.Seed()): "",
	} {
		_, err := NewVerifier(Auth{PublicKey: setting})
		if err == nil || !strings.Contains(err.Error(), "AUTH_PUBLIC_KEY") || !strings.Contains(err.Error(), says) ||
			len(setting) > 20 && strings.Contains(err.Error(), setting[:20]) || strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%q: got %v", setting, err)
		}
	}
	_, err = NewVerifier(Auth{PublicKeyFile: "/does/not/exist"})
	if want := "AUTH_PUBLIC_KEY_FILE: it cannot be read: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("a file that is not there: %v, want %s, and no path", err, want)
	}
}

// A cursor is refused, or is the position that it is made of again.
func FuzzCursor(f *testing.F) {
	type position struct {
		Name string `json:"name"`
		N    int64  `json:"n"`
	}
	for cursor, good := range map[string]bool{
		"": true, EncodeCursor(position{"one-of-many", 7}): true, encode(`{"n":1.0}`): true, encode(`{"n":1,"x":"\\u0000"}`): true,
		EncodeCursor("0199a5b2-0000-7000-8000-000000000000"): false, EncodeCursor(position{"a\x00b", -1}): false,
		encode("{\"name\":\"a\xffb\"}"): false, encode(`{"n":1,"n":2}`): false, encode(`{"n":1,"x":"\ud800"}`): false,
		"====": false, "bm90LWpzb24": false, "%00": false,
	} {
		f.Add(cursor)
		if err := DecodeCursor(cursor, &position{}); good && err != nil || !good && !errors.Is(err, ErrCursor) {
			f.Errorf("%q: %v", cursor, err)
		}
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		var from, again position
		if err := DecodeCursor(cursor, &from); err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Errorf("%q: %v", cursor, err)
			}
			return
		}
		if err := DecodeCursor(EncodeCursor(from), &again); err != nil && !strings.ContainsRune(from.Name, 0) || err == nil && from != again {
			t.Errorf("%q is %+v, and that %+v (%v)", cursor, from, again, err)
		}
	})
}
