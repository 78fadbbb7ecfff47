package process

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/shop/platform/devkit/certs"
)

// Half of a certificate is a mistake that must not be found out by a client.
func TestHalfACertificateIsRefused(t *testing.T) {
	ours := certs.New(t)
	cert, key := ours.Issue(t)
	_, other := ours.Issue(t)
	for says, env := range map[string][3]string{
		"":                          {cert, key, ours.PEM},
		" ":                         {strings.ReplaceAll(cert, "\n", `\n`), strings.ReplaceAll(key, "\n", `\n`)},
		"  ":                        {"", "", ours.PEM},
		"TLS_CERT and TLS_KEY go":   {cert, "", ours.PEM},
		"TLS_CERT and TLS_KEY go ":  {"", key},
		"TLS_CERT and TLS_KEY, or":  {"nonsense", key},
		"TLS_CERT and TLS_KEY, or ": {cert, other},
		"TLS_CA must be":            {cert, key, "nonsense"},
	} {
		t.Run(says, func(t *testing.T) {
			t.Setenv("TLS_CERT", env[0])
			t.Setenv("TLS_KEY", env[1])
			t.Setenv("TLS_CA", env[2])
			_, err := Config[Certificate]()
			says = strings.TrimSpace(says)
			if (err == nil) != (says == "") || err != nil && (!errors.Is(err, ErrUsage) || !strings.HasPrefix(err.Error(), says) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// serveTLS serves at the address that it returns, until the test ends, and logs to w.
func serveTLS(t *testing.T, as Certificate, internal bool, w io.Writer) (addr string) {
	t.Helper()
	listener, err := Listen(t.Context(), "HTTP_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	server := &http.Server{ReadTimeout: time.Minute, TLSConfig: as.Server(internal),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS != nil) })}
	go func() {
		done <- ServeHTTP(ctx, ctx, slog.New(slog.NewTextHandler(w, nil)), server, listener, time.Minute)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// get sends a request as the client that has these settings.
func get(t *testing.T, as Certificate, addr string) error {
	transport := as.Transport()
	transport.DisableKeepAlives = true
	answer, err := (&http.Client{Transport: transport}).Get("https://" + addr)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "true" {
		t.Errorf("the handler sees TLS: %s, %v", text, err)
	}
	return nil
}

// lines is a log whose lines are sent.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// Both ends trust certificates of their authority alone, and the public address asks for none. Who
// is refused is logged.
func TestACertificateOfAnotherAuthority(t *testing.T) {
	t.Parallel()
	ours, another := certs.New(t), certs.New(t)
	issued := func(by, trusts *certs.Authority) (s Certificate) {
		s.CA = trusts.PEM
		if by != nil {
			s.Cert, s.Key = by.Issue(t)
		}
		return s
	}
	logged := make(lines, 100)
	public, internal := serveTLS(t, issued(ours, ours), false, io.Discard), serveTLS(t, issued(ours, ours), true, logged)
	<-logged // that it listens
	for name, c := range map[string]struct {
		client           Certificate
		public, internal bool
	}{
		"ours":                            {issued(ours, ours), true, true},
		"without one":                     {issued(nil, ours), true, false},
		"of another authority":            {issued(another, ours), true, false},
		"who trusts another authority":    {issued(ours, another), false, false},
		"who trusts the system's, as all": {Certificate{}, false, false},
	} {
		if err := get(t, c.client, public); (err == nil) != c.public {
			t.Errorf("a client %s, in public: %v", name, err)
		}
		if err := get(t, c.client, internal); (err == nil) != c.internal {
			t.Errorf("a client %s, inside: %v", name, err)
		}
		if c.internal {
			continue
		}
		select {
		case line := <-logged:
			if !strings.Contains(line, "TLS handshake error from 127.0.0.1") {
				t.Errorf("of a client %s it says %q", name, line)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("of a client %s it says nothing", name)
		}
	}
	var op *net.OpError
	if err := get(t, Certificate{}, public); !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("that nothing was sent is not to be seen: %v", err)
	}
	if _, err := http.Get("http://" + public); err == nil {
		t.Error("it also serves without TLS")
	}
}

// A certificate and its authority are renewed in their files. While one file is not like the
// others, the certificate before is used.
func TestARenewedCertificate(t *testing.T) {
	t.Parallel()
	dir, ours, next := t.TempDir(), certs.New(t), certs.New(t)
	ours.Write(t, dir)
	as := Certificate{Cert: "read", Key: "from", CA: "files"}
	as.CertFile, as.KeyFile, as.CAFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	addr := serveTLS(t, as, true, io.Discard)
	if err := get(t, as, addr); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		client := as.Client()
		before := client()
		cert, _ := next.Issue(t)
		if err := os.WriteFile(as.CertFile, []byte(cert), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rereadEvery)
		if client() != before {
			t.Error("half of a renewal is used")
		}
	})
	next.Write(t, dir)
	renewed := Certificate{CA: next.PEM}
	renewed.Cert, renewed.Key = next.Issue(t)
	for deadline := time.Now().Add(20 * time.Second); get(t, renewed, addr) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server still has the certificate from before")
		}
	}
}

// What has two ends is refused with TLS, too.
func TestARequestWithTwoEndsIsRefusedOverTLS(t *testing.T) {
	t.Parallel()
	ours := certs.New(t)
	as := Certificate{CA: ours.PEM}
	as.Cert, as.Key = ours.Issue(t)
	conn, err := tls.Dial("tcp", serveTLS(t, as, true, io.Discard), as.Client()())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("got %v, %v", answer, err)
	}
}
