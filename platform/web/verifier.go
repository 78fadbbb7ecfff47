package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	lru "github.com/hashicorp/golang-lru/v2"

	"example.com/shop/platform/process"
)

// Auth says which tokens are accepted. Its zero value, for tests, has no limits.
type Auth struct {
	// Issuer is the iss claim. Without a public key its keys are read from it: the process is not
	// ready until they were.
	Issuer string `env:"AUTH_ISSUER" envDefault:"https://dev.shop.example"`
	// Audience must be among the aud claims of a customer's or staff's token.
	Audience string `env:"AUTH_AUDIENCE" envDefault:"shop"`
	// ServiceAudience must be among those of a service's: what lets a customer in opens no internal
	// route, and the other way round.
	ServiceAudience string `env:"AUTH_SERVICE_AUDIENCE" envDefault:"shop-internal"`
	// PublicKey is PEM text; several blocks are several keys, as during a rotation. One key can
	// also be the text between its first and last line, on one line, as seam env writes it: every
	// settings file and shell can hold that.
	PublicKey string `env:"AUTH_PUBLIC_KEY"`
	// PublicKeyFile is the path of a PEM file.
	PublicKeyFile string `env:"AUTH_PUBLIC_KEY_FILE"`
	// Refresh is how often the keys are read again, from the issuer or the file. A key that was
	// removed there works for so long; if they cannot be read, for an hour.
	Refresh time.Duration `env:"AUTH_REFRESH" envDefault:"1m"`
	// MaxLifetime is the longest time from iat to exp of a customer's or staff's token.
	MaxLifetime time.Duration `env:"AUTH_MAX_LIFETIME" envDefault:"24h"`
	// ServiceMaxLifetime is that of a service's token, which a process sends as long as it runs or
	// until its file has another.
	ServiceMaxLifetime time.Duration `env:"AUTH_SERVICE_MAX_LIFETIME" envDefault:"720h"`
}

// leeway is how far the clock of the issuer may be ahead of ours.
const leeway = time.Minute

var (
	errNoToken  = errors.New("no bearer token")
	errClaims   = errors.New("token has claims that can be read in two ways")
	errSubject  = errors.New("token has no usable subject")
	errRole     = errors.New("token has no known role")
	errAudience = errors.New("token has another audience than its role asks for")
	errIssued   = errors.New("token does not say when it was issued, or in the future")
	errLifetime = errors.New("token is valid for longer than is allowed")
)

// Verifier turns a token into a Principal.
type Verifier struct {
	cfg      Auth
	keys     *keySet
	tokens   *oidc.IDTokenVerifier
	believed *lru.Cache[string, believed] // by token
}

// believed is a verified token's principal: a client sends the same token with every request, and
// to verify its signature costs more than to read all the rest. It is cached until the token
// expires or the keys are read again.
type believed struct {
	Principal
	by     *keys
	expiry time.Time
}

const believeMost = 4096 // tokens; the least recently used goes first

// NewVerifier returns a verifier by the configured keys or, if there are none, by the issuer's,
// which Run reads.
func NewVerifier(cfg Auth) (*Verifier, error) {
	set, err := newKeySet(cfg)
	if err != nil {
		return nil, err
	}
	cache, err := lru.New[string, believed](believeMost)
	if err != nil {
		return nil, err
	}
	accept := &oidc.Config{SkipClientIDCheck: true} // the audience depends on the role
	for _, a := range algorithms {
		accept.SupportedSigningAlgs = append(accept.SupportedSigningAlgs, string(a))
	}
	return &Verifier{cfg, set, oidc.NewVerifier(cfg.Issuer, set, accept), cache}, nil
}

func newKeySet(cfg Auth) (*keySet, error) {
	switch {
	case cfg.PublicKeyFile != "":
		set := &keySet{read: fileKeys(cfg.PublicKeyFile)}
		if err := set.refresh(0); err != nil {
			return nil, fmt.Errorf("AUTH_PUBLIC_KEY_FILE: %w", err)
		}
		return set, nil
	case cfg.PublicKey != "":
		list, err := textKeys(cfg.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("AUTH_PUBLIC_KEY: %w; AUTH_PUBLIC_KEY_FILE names a file", err)
		}
		set := &keySet{}
		set.last.Store(&keys{list: list})
		return set, nil
	}
	if _, err := process.BaseURL(cfg.Issuer); err != nil {
		return nil, fmt.Errorf("set AUTH_PUBLIC_KEY, or AUTH_ISSUER to an issuer's URL: %w", err)
	}
	return &keySet{read: issuerKeys(cfg.Issuer)}, nil
}

// Run reads the keys every Refresh until ctx ends.
func (v *Verifier) Run(ctx context.Context, log *slog.Logger) error {
	if v.keys.read != nil {
		v.keys.run(ctx, v.cfg.Refresh, log)
	}
	<-ctx.Done()
	return nil
}

// Ready returns an error while there are no keys that could verify a token.
func (v *Verifier) Ready(context.Context) error { return v.keys.last.Load().usable() }

// verify returns the caller of an Authorization header. The library checks the signature, iss, exp
// and nbf.
func (v *Verifier) verify(ctx context.Context, header string) (Principal, error) {
	raw := token(header)
	if v == nil || raw == "" {
		return Principal{}, errNoToken
	}
	now, by := time.Now(), v.keys.last.Load()
	if b, ok := v.believed.Get(raw); ok && b.by == by && now.Before(b.expiry) && by.usable() == nil {
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
	if err := v.allow(p, verified); err != nil {
		return Principal{}, err
	}
	v.believed.Add(raw, believed{p, by, verified.Expiry})
	return p, nil
}

// allow returns an error unless the token is for us, by its role, and good for no longer than that
// may be. A token without iat is refused, because its age is not known (RFC 9068, 2.2).
func (v *Verifier) allow(p Principal, token *oidc.IDToken) error {
	audience, longest := v.cfg.Audience, v.cfg.MaxLifetime
	if p.Role == "service" {
		audience, longest = v.cfg.ServiceAudience, v.cfg.ServiceMaxLifetime
	}
	switch {
	case !slices.Contains(token.Audience, audience):
		return errAudience
	case token.IssuedAt.IsZero() || token.IssuedAt.After(time.Now().Add(leeway)):
		return errIssued
	case longest > 0 && token.Expiry.Sub(token.IssuedAt) > longest:
		return errLifetime
	}
	return nil
}

// decisive are the claims that a token is judged by. The library matches their names in any case
// and takes the last of several, so a token that has one twice, or in another case, is refused.
var decisive = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "role"}

// longestSubject is in bytes, as in OpenID Connect. PostgreSQL bounds index keys, which have it.
const longestSubject = 255
