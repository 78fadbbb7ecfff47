// Package certs makes certificates for tests.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates.
type Authority struct {
	PEM  string // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New returns an authority.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{cert: template(t), key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	a.PEM = a.sign(t, a.cert, a.key)
	return a
}

// Issue returns a certificate for 127.0.0.1, as a server and as a client, and its key.
func (a *Authority) Issue(t testing.TB) (cert, key string) {
	t.Helper()
	of, private := template(t), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	of.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	of.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return a.sign(t, of, private), text("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(private))(t))
}

// Write writes ca.pem, and a new certificate as cert.pem and key.pem, to the folder.
func (a *Authority) Write(t testing.TB, dir string) {
	t.Helper()
	cert, key := a.Issue(t)
	for name, text := range map[string]string{"ca.pem": a.PEM, "cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func template(t testing.TB) *x509.Certificate {
	serial := must(rand.Int(rand.Reader, big.NewInt(1<<62)))(t)
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: serial.String()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
}

func (a *Authority) sign(t testing.TB, of *x509.Certificate, key *ecdsa.PrivateKey) string {
	return text("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, of, a.cert, key.Public(), a.key))(t))
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
