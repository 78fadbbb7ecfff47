package web

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Auth says which tokens are accepted.
type Auth struct {
	// Issuer is the iss claim. Without a public key its keys are read from it at the start.
	Issuer string `env:"AUTH_ISSUER" envDefault:"https://dev.shop.example"`
	// Audience must be among the aud claims.
	Audience string `env:"AUTH_AUDIENCE" envDefault:"shop"`
	// PublicKey is PEM text or the path of a PEM file; several blocks are several keys, as during a
	// rotation. One key can also be the text between its first and last line, on one line, as seam
	// env writes it: every settings file and shell can hold that.
	PublicKey string `env:"AUTH_PUBLIC_KEY"`
}

// algorithms are asymmetric: with HMAC, the public key would sign tokens.
var algorithms = []string{oidc.EdDSA, oidc.ES256, oidc.RS256}

var (
	errNoToken = errors.New("no bearer token")
	errClaims  = errors.New("token has claims that can be read in two ways")
	errSubject = errors.New("token has no usable subject")
	errRole    = errors.New("token has no known role")
)

// Verifier turns a token into a Principal.
type Verifier struct {
	tokens   *oidc.IDTokenVerifier
	believed *lru.Cache[string, believed] // by token
}

// believed is a verified token's principal, and until when it is cached: a client sends the same
// token with every request, and to verify its signature costs more than to read all the rest.
type believed struct {
	Principal
	until time.Time
}

const (
	believeFor  = time.Minute // or until it expires; a key that its issuer has revoked counts as long
	believeMost = 4096        // tokens; the least recently used goes first
)

// NewVerifier returns a verifier by the configured key or, if there is none, by the issuer's keys.
func NewVerifier(ctx context.Context, cfg Auth) (*Verifier, error) {
	accept := &oidc.Config{ClientID: cfg.Audience, SupportedSigningAlgs: algorithms}
	cache, err := lru.New[string, believed](believeMost)
	if err != nil {
		return nil, err
	}
	if cfg.PublicKey != "" {
		keys, err := publicKeys(cfg.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("AUTH_PUBLIC_KEY: %w", err)
		}
		return &Verifier{oidc.NewVerifier(cfg.Issuer, &oidc.StaticKeySet{PublicKeys: keys}, accept), cache}, nil
	}
	// The library keeps this client, and gets the keys again for an unknown key id.
	client := &http.Client{Timeout: 10 * time.Second, Transport: newDiscovery(keysHold, failureHolds)}
	ctx = oidc.ClientContext(ctx, client)
	issuer, err := oidc.NewProvider(ctx, cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("set AUTH_PUBLIC_KEY, or AUTH_ISSUER to an issuer that can be reached: %w", err)
	}
	return &Verifier{issuer.VerifierContext(ctx, accept), cache}, nil
}

// verify returns the caller of an Authorization header. The library checks all but sub and role.
func (v *Verifier) verify(ctx context.Context, header string) (Principal, error) {
	raw := token(header)
	if v == nil || raw == "" {
		return Principal{}, errNoToken
	}
	now := time.Now()
	if b, ok := v.believed.Get(raw); ok && now.Before(b.until) {
		return b.Principal, nil
	}
	verified, err := v.tokens.Verify(ctx, raw)
	if err != nil {
		return Principal{}, err
	}
	var text json.RawMessage
	if err := verified.Claims(&text); err != nil {
		return Principal{}, fmt.Errorf("read claims: %w", err)
	}
	var claims map[string]any
	if err := unmarshal(text, &claims); err != nil {
		return Principal{}, fmt.Errorf("%w: %w", errClaims, err)
	}
	for name := range claims {
		if slices.ContainsFunc(decisive, func(known string) bool {
			return name != known && strings.EqualFold(name, known)
		}) {
			return Principal{}, errClaims
		}
	}
	subject, _ := claims["sub"].(string)
	role, _ := claims["role"].(string)
	// The subject is stored in rows and event headers, where PostgreSQL refuses NUL.
	if subject == "" || len(subject) > longestSubject || strings.ContainsFunc(subject, unicode.IsControl) {
		return Principal{}, errSubject
	}
	if !slices.Contains([]string{"customer", "staff", "service"}, role) {
		return Principal{}, errRole
	}
	p := Principal{Subject: subject, Role: role}
	until := now.Add(believeFor)
	if verified.Expiry.Before(until) {
		until = verified.Expiry
	}
	v.believed.Add(raw, believed{p, until})
	return p, nil
}

// decisive are the claims that a token is judged by. The library matches their names in any case
// and takes the last of several, so a token that has one twice, or in another case, is refused.
var decisive = []string{"iss", "sub", "aud", "exp", "nbf", "role"}

// longestSubject is in bytes, as in OpenID Connect. PostgreSQL bounds index keys, which have it.
const longestSubject = 255

func publicKeys(setting string) ([]crypto.PublicKey, error) {
	var text []byte
	if der, err := base64.StdEncoding.DecodeString(setting); err == nil && isPublicKey(der) {
		text = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	} else if strings.Contains(setting, "-----BEGIN") {
		// A shell that reads a settings file leaves \n as two characters.
		text = []byte(strings.ReplaceAll(setting, `\n`, "\n"))
	} else if text, err = os.ReadFile(setting); err != nil { //nolint:gosec // the operator names the file
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // without the path, which is a secret where the private key was set
		}
		return nil, fmt.Errorf("neither a public key nor a readable file: %w", err)
	}
	var keys []crypto.PublicKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("not a public key (PKIX): %w", err)
		}
		switch key.(type) {
		case ed25519.PublicKey, *ecdsa.PublicKey, *rsa.PublicKey:
			keys = append(keys, key)
		default:
			return nil, fmt.Errorf("%T cannot verify any of %v", key, algorithms)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block in it")
	}
	return keys, nil
}

// isPublicKey distinguishes a key from a path, which can look like base64 as well.
func isPublicKey(der []byte) bool {
	_, err := x509.ParsePKIXPublicKey(der)
	return err == nil
}
