package notifications

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"example.com/shop/modules/notifications/notificationssim"
	"example.com/shop/platform/devkit/certs"
)

// trusted has a certificate for 127.0.0.1 that this process trusts, because SSL_CERT_FILE names it.
var trusted *tls.Config

func TestMain(m *testing.M) {
	server := httptest.NewTLSServer(nil)
	trusted = &tls.Config{Certificates: server.TLS.Certificates}
	server.Close()
	file, err := os.CreateTemp("", "notifications-*.pem")
	must(err)
	must(pem.Encode(file, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	must(os.Setenv("SSL_CERT_FILE", file.Name()))
	code := m.Run()
	_ = os.Remove(file.Name())
	os.Exit(code)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestTLSAndLogin(t *testing.T) {
	t.Parallel()
	cert, key := certs.New(t).Issue(t)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	must(err)
	stranger := &tls.Config{Certificates: []tls.Certificate{pair}}
	o := working(t, "127.0.0.1:1025")
	type server = notificationssim.Options
	login := func(mechanism string, o server) server {
		o.TLS, o.Username, o.Password, o.Mechanism = trusted, "shop", "right secret", mechanism
		return o
	}
	const pending, sent = "pending", "sent"
	reasons := func(parts ...string) []string { return parts }
	for name, test := range map[string]struct {
		mode, password string
		server         server
		want           string   // the status
		reason         []string // parts of it
	}{
		"opportunistic, none offered": {tlsOpportunistic, "", server{}, sent, nil},
		"opportunistic, trusted":      {tlsOpportunistic, "", server{TLS: trusted}, sent, nil},
		"opportunistic, not trusted": {tlsOpportunistic, "", server{TLS: stranger}, pending,
			reasons("no TLS with the mail server", "certificate", "NOTIFICATIONS_SMTP_TLS is opportunistic")},
		"required, none offered": {tlsRequired, "", server{}, pending,
			reasons("it offers no STARTTLS", "NOTIFICATIONS_SMTP_TLS is required")},
		"required, trusted": {tlsRequired, "", server{TLS: trusted}, sent, nil},
		"required, not trusted": {tlsRequired, "", server{TLS: stranger}, pending,
			reasons("no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is required")},
		"implicit, trusted": {tlsImplicit, "", server{TLS: trusted, Implicit: true}, sent, nil},
		"implicit, not trusted": {tlsImplicit, "", server{TLS: stranger, Implicit: true}, pending,
			reasons("no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is implicit")},
		"implicit, STARTTLS offered": {tlsImplicit, "", server{TLS: trusted}, pending,
			reasons("no TLS with the mail server", "NOTIFICATIONS_SMTP_TLS is implicit")},
		"none, not trusted":   {tlsNone, "", server{TLS: stranger}, sent, nil},
		"the login, PLAIN":    {tlsRequired, "right secret", login("PLAIN", server{}), sent, nil},
		"the login, LOGIN":    {tlsRequired, "right secret", login("LOGIN", server{}), sent, nil},
		"the login, implicit": {tlsImplicit, "right secret", login("PLAIN", server{Implicit: true}), sent, nil},
		"a wrong login, PLAIN": {tlsRequired, "wrong secret", login("PLAIN", server{}), pending,
			reasons("refused us with 535 5.7.8 at AUTH", "NOTIFICATIONS_SMTP_PASSWORD")},
		"a wrong login, LOGIN": {tlsRequired, "wrong secret", login("LOGIN", server{}), pending,
			reasons("refused us with 535 5.7.8 at AUTH")},
		"no login offered": {tlsRequired, "right secret", server{TLS: trusted}, pending,
			reasons("at AUTH", "NOTIFICATIONS_SMTP_USERNAME")},
		"no login given": {tlsRequired, "", login("PLAIN", server{}), pending,
			reasons("530 5.7.0 at MAIL FROM", "NOTIFICATIONS_SMTP_USERNAME")},
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
