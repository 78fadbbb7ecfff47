// Package tokens issues the access tokens that an identity provider issues in production. The key
// is a file of the developer; only a server with its public half accepts the tokens.
package tokens

import (
	"cmp"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The defaults of a token.
const (
	Issuer          = "https://dev.shop.example"
	Audience        = "shop"
	ServiceAudience = "shop-internal" // of the role service
)

// Claims of a token. Only Subject and Role have no default.
type Claims struct {
	Subject  string
	Role     string // customer, staff or service
	Audience string
	Issuer   string
	TTL      time.Duration // an hour if zero; negative for an expired token
}

// Key signs tokens.
type Key struct{ private ed25519.PrivateKey }

// LoadOrCreate reads the key from its file, or creates it. Concurrent processes get the same key.
func LoadOrCreate(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("create signing key: %w", err)
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no PEM block", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s has a %T and not an Ed25519 key", path, parsed)
	}
	return &Key{private: private}, nil
}

// create writes a temporary file and links it to the path, which fails if another was first.
func create(path string) error {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(filepath.Dir(path), "key-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name())
	err = errors.Join(pem.Encode(fresh, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), fresh.Close())
	if err != nil {
		return err
	}
	if err := os.Link(fresh.Name(), path); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// PublicPEM returns the value of the setting AUTH_PUBLIC_KEY.
func (k *Key) PublicPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.publicDER()}))
}

// PublicLine returns the same on one line, without characters that a shell interprets.
func (k *Key) PublicLine() string { return base64.StdEncoding.EncodeToString(k.publicDER()) }

func (k *Key) publicDER() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.private.Public())
	if err != nil {
		panic(err) // not with an Ed25519 key
	}
	return der
}

// Private returns the key itself, for tokens that Mint does not make.
func (k *Key) Private() ed25519.PrivateKey { return k.private }

// Mint signs a token.
func (k *Key) Mint(c Claims) string {
	audience := Audience
	if c.Role == "service" {
		audience = ServiceAudience
	}
	c.TTL = cmp.Or(c.TTL, time.Hour)
	key := jose.SigningKey{Algorithm: jose.EdDSA, Key: k.private}
	signer, err := jose.NewSigner(key, new(jose.SignerOptions).WithType("JWT"))
	if err != nil {
		panic(err) // not with an Ed25519 key
	}
	now := time.Now()
	issued := now.Add(min(c.TTL, 0)) // an expired one was issued in the past
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Subject: c.Subject, Issuer: cmp.Or(c.Issuer, Issuer), Audience: jwt.Audience{cmp.Or(c.Audience, audience)},
		IssuedAt: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(now.Add(c.TTL)),
	}).Claims(map[string]any{"role": c.Role}).Serialize()
	if err != nil {
		panic(err) // strings and numbers always are JSON
	}
	return token
}
