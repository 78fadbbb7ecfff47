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
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"example.com/shop/platform/backoff"
)

// algorithms are asymmetric: with HMAC, the public key would sign tokens.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

const (
	// forcedEvery is how often a token that no key verifies may have the keys read: any client can
	// make up such tokens.
	forcedEvery = 10 * time.Second
	// keysHold is how long keys are used that cannot be read again. An issuer that is down for longer
	// has no client with a token that is still good.
	keysHold = time.Hour
	// maxKeys bounds what is read of an issuer's response; a key takes half a kilobyte.
	maxKeys = 1 << 20
)

var (
	errNoKeys  = errors.New("the keys that verify tokens could not be read yet")
	errOldKeys = errors.New("the keys that verify tokens could not be read for too long")
	errKey     = errors.New("no key verifies the token's signature")
	errType    = errors.New("token is no access token by its typ")
)

// keySet are the keys that verify tokens, read again and again by run. The library's own set only
// reads for a key id that it does not know, so a key that its issuer removed would work for ever.
type keySet struct {
	read  func(context.Context) ([]jose.JSONWebKey, error) // nil for keys that never change
	mu    sync.Mutex                                       // one reads at a time
	tried time.Time
	last  atomic.Pointer[keys] // nil until they were read
}

// keys are what one reading found. A token that was verified by earlier ones is verified again.
type keys struct {
	list  []jose.JSONWebKey
	until time.Time // they are used; zero for ever
}

func (k *keys) usable() error {
	switch {
	case k == nil:
		return errNoKeys
	case !k.until.IsZero() && time.Now().After(k.until):
		return errOldKeys
	}
	return nil
}

// VerifySignature returns the token's payload. The library has checked the algorithm.
func (s *keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	if !accessToken(signed.Signatures[0].Header) {
		return nil, errType
	}
	known := s.last.Load()
	if payload, err := known.verify(signed); err == nil {
		return payload, nil
	}
	_ = s.refresh(forcedEvery) // what cannot be read is reported by usable
	return s.last.Load().verify(signed)
}

func (k *keys) verify(signed *jose.JSONWebSignature) ([]byte, error) {
	if err := k.usable(); err != nil {
		return nil, err
	}
	id := signed.Signatures[0].Header.KeyID
	for _, key := range k.list {
		if id != "" && key.KeyID != "" && key.KeyID != id { // keys in PEM have no id
			continue
		}
		if payload, err := signed.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errKey
}

// accessToken reports whether the header's typ says JWT or at+jwt (RFC 9068, 2.1), or nothing, as
// RFC 7519 (5.1) permits and issuers do. So a logout token or another kind that RFC 8725 (3.11) has
// the issuer name is refused; an ID token has another audience, and no role.
func accessToken(header jose.Header) bool {
	typ, given := header.ExtraHeaders[jose.HeaderType]
	name, _ := typ.(string)
	name = strings.TrimPrefix(strings.ToLower(name), "application/")
	return !given || name == "jwt" || name == "at+jwt"
}

// refresh reads the keys, unless that was tried within the interval.
func (s *keySet) refresh(interval time.Duration) error {
	if s.read == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.tried) < interval {
		return nil
	}
	// Not in a request's context: a client that leaves must not spend what others wait for.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := s.read(ctx)
	s.tried = time.Now()
	if err == nil {
		s.last.Store(&keys{list: list, until: s.tried.Add(keysHold)})
	}
	return err
}

// run refreshes every interval until ctx ends, and soon after it failed.
func (s *keySet) run(ctx context.Context, interval time.Duration, log *slog.Logger) {
	for failures := 0; ; {
		pause := interval
		if err := s.refresh(0); err != nil {
			failures++
			pause = backoff.After(failures, time.Second, interval)
			log.WarnContext(ctx, "the keys that verify tokens could not be read; earlier ones are used for a while",
				"error", err.Error(), "retry_in", pause.String())
		} else {
			failures = 0
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// issuerKeys gets the keys of an issuer, as OpenID Connect Discovery says.
func issuerKeys(issuer string) func(context.Context) ([]jose.JSONWebKey, error) {
	client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			response.Body = http.MaxBytesReader(nil, response.Body, maxKeys)
		}
		return response, err
	})}
	return func(ctx context.Context) ([]jose.JSONWebKey, error) {
		provider, err := oidc.NewProvider(oidc.ClientContext(ctx, client), issuer) // which checks its name
		if err != nil {
			return nil, err
		}
		var found struct {
			URL string `json:"jwks_uri"`
		}
		if err := provider.Claims(&found); err != nil {
			return nil, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, found.URL, http.NoBody)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err != nil {
			return nil, err
		}
		defer func() { _ = response.Body.Close() }() // it was read
		text, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", found.URL, response.Status)
		}
		return parseKeys(text)
	}
}

// parseKeys returns those of a JSON Web Key Set that can verify tokens. The others are to be
// ignored (RFC 7517, 5). A set that is empty is one: its issuer has removed the last key.
func parseKeys(set []byte) ([]jose.JSONWebKey, error) {
	var found struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set, &found); err != nil || found.Keys == nil {
		return nil, errors.New("the issuer's key set is none")
	}
	list := []jose.JSONWebKey{}
	for _, text := range found.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(text, &key); err == nil && key.IsPublic() && key.Use != "enc" {
			list = append(list, key)
		}
	}
	return list, nil
}

// fileKeys reads the keys of a PEM file.
func fileKeys(path string) func(context.Context) ([]jose.JSONWebKey, error) {
	return func(context.Context) ([]jose.JSONWebKey, error) {
		text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			if failed, ok := errors.AsType[*fs.PathError](err); ok {
				err = failed.Err // without the path, which may be a secret that was set by mistake
			}
			return nil, fmt.Errorf("it cannot be read: %w", err)
		}
		return pemKeys(text)
	}
}

// textKeys returns the keys in a setting's text.
func textKeys(setting string) ([]jose.JSONWebKey, error) {
	if der, err := base64.StdEncoding.DecodeString(setting); err == nil {
		return pemKeys(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	// A shell that reads a settings file leaves \n as two characters.
	return pemKeys([]byte(strings.ReplaceAll(setting, `\n`, "\n")))
}

func pemKeys(text []byte) (list []jose.JSONWebKey, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key crypto.PublicKey
		if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return nil, fmt.Errorf("not a public key (PKIX): %w", err)
		}
		switch key.(type) {
		case ed25519.PublicKey, *ecdsa.PublicKey, *rsa.PublicKey:
			list = append(list, jose.JSONWebKey{Key: key})
		default:
			return nil, fmt.Errorf("%T cannot verify any of %v", key, algorithms)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no PEM block in it")
	}
	return list, nil
}
