package web

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// signer signs any bytes as a token's claims, also those that no library would write.
type signer struct {
	verifier *Verifier
	private  ed25519.PrivateKey
}

func newSigner(f *testing.F) signer {
	f.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	verifier, err := NewVerifier(f.Context(), Auth{Issuer: issuer, Audience: "shop", PublicKey: key})
	if err != nil {
		f.Fatal(err)
	}
	return signer{verifier, private}
}

func (s signer) sign(claims []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(s.private, []byte(text)))
}

// claimsWith are a good customer's claims, and more of them.
func claimsWith(more string) []byte {
	return fmt.Appendf(nil, `{"iss":%q,"aud":"shop","sub":"ann","role":"customer","exp":%d%s}`, issuer,
		time.Now().Add(24*time.Hour).Unix(), more)
}

// An Authorization header is refused, or names whom the one token that was signed names.
func FuzzToken(f *testing.F) {
	s := newSigner(f)
	good := s.sign(claimsWith(""))
	parts := strings.Split(good, ".")
	for _, header := range []string{
		"", "Bearer", "Bearer ", "bearer " + good, "Bearer " + good, "Bearer\t" + good, "Bearer " + good + "=", "Bearer " + good + "." + parts[2],
		"Bearer " + parts[0] + "." + parts[1] + ".", "Bearer eyJhbGciOiJub25lIn0." + parts[1] + ".", "Bearer ..", "Basic " + good,
		"Bearer " + s.sign([]byte("null")), "Bearer " + s.sign([]byte("[]")), "Bearer " + parts[0] + "." + parts[1][:len(parts[1])-1] + "." + parts[2],
		`Bearer {"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		who, err := s.verifier.verify(t.Context(), header)
		if err == nil && who != (Principal{"ann", "customer"}) || err != nil && who != (Principal{}) {
			t.Errorf("%q is taken for %+v (%v)", header, who, err)
		}
	})
}

// Claims that were signed are read as they are written: each name in its own case and once, or not
// at all.
func FuzzClaims(f *testing.F) {
	s := newSigner(f)
	for _, more := range []string{"", `,"email":"ann@mail.example"`, `,"nbf":0,"iat":0`, `,"x":"\u0000"`, `,"x":1e999`, `} {`} {
		f.Add(claimsWith(more))
	}
	f.Add([]byte(strings.Replace(string(claimsWith("")), "ann", "a\\u0000b", 1)))
	f.Add([]byte(strings.Replace(string(claimsWith("")), `"shop"`, `["bank","shop"]`, 1)))
	f.Add([]byte(strings.Replace(string(claimsWith("")), "customer", "owner", 1)))
	f.Fuzz(func(t *testing.T, claims []byte) {
		who, err := s.verifier.verify(t.Context(), "Bearer "+s.sign(claims))
		if err != nil {
			return
		}
		named, err := members(claims)
		if err != nil {
			t.Fatalf("%q is taken for %+v although %v", claims, who, err)
		}
		audiences, many := named["aud"].([]any)
		if !many {
			audiences = []any{named["aud"]}
		}
		number, _ := named["exp"].(json.Number)
		expiry, _ := number.Float64()
		if named["iss"] != issuer || !slices.Contains(audiences, any("shop")) || named["sub"] != who.Subject || named["role"] != who.Role ||
			expiry < float64(time.Now().Unix()) {
			t.Errorf("%q is taken for %+v", claims, who)
		}
		// A subject is part of an index's key, which PostgreSQL bounds.
		if strings.ContainsFunc(who.Subject, unicode.IsControl) || len(who.Subject) > 1024 || who.Subject == "" {
			t.Errorf("a subject of %d bytes: %q", len(who.Subject), who.Subject)
		}
	})
}

// members are an object's, and an error if it is none, or names one twice, or is not all valid
// text.
func members(text []byte) (map[string]any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if open, err := decoder.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is no object")
	}
	found := map[string]any{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := found[name.(string)]; twice {
			return nil, fmt.Errorf("it says %q twice", name)
		}
		found[name.(string)] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows it")
	}
	return found, nil
}

// A cursor is refused, or is the position that it is made of again.
func FuzzCursor(f *testing.F) {
	type position struct {
		SKU string `json:"sku"`
		N   int64  `json:"n"`
	}
	for _, cursor := range []string{
		"", EncodeCursor(position{"honey-linden", 7}), EncodeCursor("0199a5b2-0000-7000-8000-000000000000"), EncodeCursor(position{"a\x00b", -1}),
		base64.RawURLEncoding.EncodeToString([]byte("{\"sku\":\"a\xffb\"}")), base64.RawURLEncoding.EncodeToString([]byte(`{"SKU":"a","sku":"b"}`)), "====", "bm90LWpzb24", "%00",
	} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		var from, again position
		if err := DecodeCursor(cursor, &from); err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Errorf("%q: %v", cursor, err)
			}
			return
		}
		if err := DecodeCursor(EncodeCursor(from), &again); err != nil && !strings.ContainsRune(from.SKU, 0) || err == nil && from != again {
			t.Errorf("%q is %+v, and that %+v (%v)", cursor, from, again, err)
		}
	})
}
