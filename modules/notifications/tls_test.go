package notifications

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/mailsink"
)

// trusted has a certificate that this process trusts, because SSL_CERT_FILE names it; stranger has
// one that it does not.
var trusted, stranger *tls.Config

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "notifications-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		var root []byte
		trusted, root = certificate()
		stranger, _ = certificate()
		file := filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(file, root, 0o600); err != nil {
			panic(err)
		}
		if err := os.Setenv("SSL_CERT_FILE", file); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// certificate is one for 127.0.0.1 that has signed itself, and its PEM.
func certificate() (*tls.Config, []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: fmt.Sprintf("mail %d", key.X)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return config, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestTLSAndLogin(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, nil)
	o.Work(o.module)
	type server = mailsink.Options
	plain := func(o server) server { o.Username, o.Password, o.Mechanism = "shop", "right secret", "PLAIN"; return o }
	login := func(o server) server { o.Username, o.Password, o.Mechanism = "shop", "right secret", "LOGIN"; return o }
	for name, test := range map[string]struct {
		mode, password string
		server         server
		want           string   // the status
		reason         []string // parts of it
	}{
		"opportunistic, none offered": {mode: tlsOpportunistic, want: "sent"},
		"opportunistic, trusted":      {mode: tlsOpportunistic, server: server{TLS: trusted}, want: "sent"},
		"opportunistic, self-signed": {mode: tlsOpportunistic, server: server{TLS: stranger}, want: "pending",
			reason: []string{"no TLS with the mail server", "certificate", "NOTIFICATIONS_SMTP_TLS is opportunistic"}},
		"required, none offered": {mode: tlsRequired, want: "pending",
			reason: []string{"it offers no STARTTLS", "NOTIFICATIONS_SMTP_TLS is required"}},
		"required, trusted": {mode: tlsRequired, server: server{TLS: trusted}, want: "sent"},
		"required, self-signed": {mode: tlsRequired, server: server{TLS: stranger}, want: "pending",
			reason: []string{"no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is required"}},
		"implicit, trusted": {mode: tlsImplicit, server: server{TLS: trusted, Implicit: true}, want: "sent"},
		"implicit, self-signed": {mode: tlsImplicit, server: server{TLS: stranger, Implicit: true}, want: "pending",
			reason: []string{"no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is implicit"}},
		"implicit, STARTTLS offered": {mode: tlsImplicit, server: server{TLS: trusted}, want: "pending",
			reason: []string{"no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is implicit"}},
		"none, self-signed":   {mode: tlsNone, server: server{TLS: stranger}, want: "sent"},
		"the login, PLAIN":    {mode: tlsRequired, password: "right secret", server: plain(server{TLS: trusted}), want: "sent"},
		"the login, LOGIN":    {mode: tlsRequired, password: "right secret", server: login(server{TLS: trusted}), want: "sent"},
		"the login, implicit": {mode: tlsImplicit, password: "right secret", server: plain(server{TLS: trusted, Implicit: true}), want: "sent"},
		"a wrong login, PLAIN": {mode: tlsRequired, password: "wrong secret", server: plain(server{TLS: trusted}), want: "pending",
			reason: []string{"refused us with 535 5.7.8 at AUTH", "NOTIFICATIONS_SMTP_PASSWORD"}},
		"a wrong login, LOGIN": {mode: tlsRequired, password: "wrong secret", server: login(server{TLS: trusted}), want: "pending",
			reason: []string{"refused us with 535 5.7.8 at AUTH"}},
		"no login offered": {mode: tlsRequired, password: "right secret", server: server{TLS: trusted}, want: "pending",
			reason: []string{"at AUTH", "NOTIFICATIONS_SMTP_USERNAME"}},
		"no login given": {mode: tlsRequired, server: plain(server{TLS: trusted}), want: "pending",
			reason: []string{"530 5.7.0 at MAIL FROM", "NOTIFICATIONS_SMTP_USERNAME"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.server.TLS == trusted && runtime.GOOS != "linux" {
				t.Skip("SSL_CERT_FILE is for Linux, where CI runs this")
			}
			sink := started(t, test.server)
			o.use(sink.Addr(), func(c *Config) {
				c.SMTPTLS = test.mode
				if c.SMTPPassword = test.password; test.password != "" {
					c.SMTPUsername = "shop"
				}
			})
			o.expect(t, o.send(address), test.want, test.reason...)
			if got := len(sink.Messages(address)); (got == 1) != (test.want == "sent") {
				t.Errorf("%d mails arrived, and it was %s", got, test.want)
			}
			if strings.Contains(o.Logged(), "secret") {
				t.Errorf("the password is in the log:\n%s", o.Logged())
			}
		})
	}

	t.Run("STARTTLS refused", func(t *testing.T) {
		other := serve(t)
		o.use(other.addr, nil)
		other.script <- map[string]string{"EHLO": "250-here\r\n250 STARTTLS", "STARTTLS": "454 4.7.0 TLS not available"}
		o.expect(t, o.send(address), "pending", "refused us with 454 at TLS; NOTIFICATIONS_SMTP_TLS is opportunistic")
	})
}
