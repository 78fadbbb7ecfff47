package web

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A key survives the ways in which files of settings and shells write it.
func TestAPublicKeyIsReadInEachForm(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, setting := range map[string]string{
		"PEM": text, "a path": path, "one line": base64.StdEncoding.EncodeToString(der),
		"PEM with Windows's ends of line":       strings.ReplaceAll(text, "\n", "\r\n"),
		"PEM whose ends of line are a \\ and n": strings.ReplaceAll(text, "\n", `\n`),
	} {
		if keys, err := publicKeys(setting); err != nil || len(keys) != 1 || !public.Equal(keys[0]) {
			t.Errorf("%s: got %v, %v", name, keys, err)
		}
	}
	// A path that could be base64 is still a path.
	if _, err := publicKeys("keys/missing"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

// A private key, which is set by mistake, is not printed.
func TestAPrivateKeyIsNotPrinted(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secret := base64.StdEncoding.EncodeToString(der)
	for name, setting := range map[string]string{
		"one line": secret, "a seed": base64.StdEncoding.EncodeToString(private.Seed()), "a NUL": secret + "\x00",
		"PEM": "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----",
	} {
		_, err := NewVerifier(t.Context(), Auth{PublicKey: setting})
		if err == nil || strings.Contains(err.Error(), setting[:20]) || strings.Contains(err.Error(), secret[:20]) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
