package tokens_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"example.com/shop/platform/devkit/tokens"
)

// verify checks a token as a server with the public half does.
func verify(t *testing.T, public, token string) (role string, err error) {
	t.Helper()
	block, _ := pem.Decode([]byte(public))
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var standard jwt.Claims
	var own struct {
		Role string `json:"role"`
	}
	if err := parsed.Claims(key, &standard, &own); err != nil {
		return "", err
	}
	return own.Role, standard.Validate(jwt.Expected{Issuer: tokens.Issuer, AnyAudience: jwt.Audience{tokens.Audience},
		Subject: "ada"})
}

func load(t *testing.T, path string) *tokens.Key {
	t.Helper()
	key, err := tokens.LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestMint(t *testing.T) {
	t.Parallel()
	key := load(t, filepath.Join(t.TempDir(), "key.pem"))
	for name, c := range map[string]struct {
		claims tokens.Claims
		want   error
	}{
		"good":          {tokens.Claims{Subject: "ada", Role: "staff"}, nil},
		"other subject": {tokens.Claims{Subject: "bob", Role: "staff"}, jwt.ErrInvalidSubject},
		"other issuer": {tokens.Claims{Subject: "ada", Role: "staff", Issuer: "https://evil.example"},
			jwt.ErrInvalidIssuer},
		"other audience": {tokens.Claims{Subject: "ada", Role: "staff", Audience: "bank"}, jwt.ErrInvalidAudience},
		"expired":        {tokens.Claims{Subject: "ada", Role: "staff", TTL: -time.Hour}, jwt.ErrExpired},
	} {
		role, err := verify(t, key.PublicPEM(), key.Mint(c.claims))
		if role != "staff" || !errors.Is(err, c.want) {
			t.Errorf("%s: role %q, error %v", name, role, err)
		}
	}
	other := load(t, filepath.Join(t.TempDir(), "key.pem"))
	if _, err := verify(t, key.PublicPEM(), other.Mint(tokens.Claims{Subject: "ada", Role: "staff"})); err == nil {
		t.Error("another key's token was accepted")
	}
}

func TestOneKeyPerFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "key.pem")
	publics := make(chan string, 20)
	var all sync.WaitGroup
	for range cap(publics) {
		all.Go(func() {
			key, err := tokens.LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			publics <- key.PublicPEM()
		})
	}
	all.Wait()
	close(publics)
	want := load(t, path).PublicPEM()
	for got := range publics {
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files, error %v", len(files), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, error %v", info, err)
	}
}

func TestNoKeyInTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.LoadOrCreate(path); err == nil {
		t.Error("accepted")
	}
}
