package topology

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
)

// GatewaySecret is the file with the façade's secret, and RoleSecret that with the secret from
// which the passwords of the modules' roles are derived.
const (
	GatewaySecret = "gateway-secret"
	RoleSecret    = "role-secret"
)

// Password returns the password in this file beside the data, and creates it the first time.
func Password(state, name string) (string, error) {
	path := filepath.Join(state, name)
	kept, err := os.ReadFile(path) //nolint:gosec // our own folder
	if errors.Is(err, fs.ErrNotExist) {
		kept = []byte(rand.Text())
		err = os.WriteFile(path, kept, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("keep a password: %w", err)
	}
	return strings.TrimRight(string(kept), "\r\n"), nil // which an editor adds
}

// KeyFile returns the file of the signing key.
func (s *System) KeyFile() string { return keyFile(s.options.State) }

func keyFile(state string) string { return filepath.Join(state, "key.pem") }

// SigningKey returns the key of the system that was started with this folder.
func SigningKey(state string) (*tokens.Key, error) {
	path := keyFile(state)
	if _, err := os.Stat(path); err != nil {
		return nil, process.Usage(fmt.Errorf("no system was ever started here (%s is missing): run seam up first", path))
	}
	key, err := tokens.LoadOrCreate(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	return key, nil
}

// ServiceToken returns a token for calls between the system's processes, good for 30 days, which is
// AUTH_SERVICE_MAX_LIFETIME.
func ServiceToken(key *tokens.Key) string {
	return key.Mint(tokens.Claims{Role: "service", Subject: "system", TTL: 30 * 24 * time.Hour})
}
