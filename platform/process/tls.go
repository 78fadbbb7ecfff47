package process

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Certificate is the certificate of a process, and the authority that it trusts. The zero value
// serves without TLS, and trusts those of the operating system.
type Certificate struct {
	// The certificate, followed by those of intermediate authorities, in PEM: with it HTTP is
	// served over TLS, OPS_ADDR excepted, and it is what the process shows other processes and the
	// broker. So it is for servers and for clients.
	Cert string `env:"TLS_CERT"`
	// Its private key, in PEM.
	Key string `env:"TLS_KEY"`
	// The authorities of the system's own processes and of its broker, in PEM. No others are
	// trusted there, and with TLS_CERT addresses for the system's own processes serve only who
	// shows a certificate of them. Alone it is for a process that only calls the broker over TLS.
	CA string `env:"TLS_CA"`
	// Files with these three. A certificate that is renewed in them is used without a restart.
	CertFile string `env:"TLS_CERT_FILE"`
	KeyFile  string `env:"TLS_KEY_FILE"`
	CAFile   string `env:"TLS_CA_FILE"`
}

// Validate refuses half of a certificate, and what is none.
func (c Certificate) Validate() error {
	_, err := c.read()
	return err
}

// read returns the configuration for a connection to another process, as the files are now.
func (c Certificate) read() (*tls.Config, error) {
	for _, s := range []struct {
		name string
		text *string
		path string
	}{{"TLS_CERT", &c.Cert, c.CertFile}, {"TLS_KEY", &c.Key, c.KeyFile}, {"TLS_CA", &c.CA, c.CAFile}} {
		if s.path != "" {
			text, err := os.ReadFile(s.path)
			if err != nil {
				return nil, fmt.Errorf("%s%s names no file that can be read: %w", s.name, inFile, errors.Unwrap(err))
			}
			*s.text = string(text)
		}
		// A shell that reads a settings file leaves \n as two characters.
		*s.text = strings.ReplaceAll(*s.text, `\n`, "\n")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("TLS_CERT and TLS_KEY go together, as PUBLIC_TLS_CERT and PUBLIC_TLS_KEY do: set both or neither")
	}
	if c.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
		if err != nil {
			return nil, fmt.Errorf("TLS_CERT and TLS_KEY, or those of PUBLIC_, must be a certificate and its key, in PEM: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	if c.CA != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, errors.New("TLS_CA must be the certificates of authorities, in PEM")
		}
	}
	return cfg, nil
}

// rereadEvery is how often connections have the files read again.
const rereadEvery = time.Second

// Client returns a function that returns the configuration for a connection to another process, by
// the files as they are then. While they cannot be used, as in the middle of a renewal, it is what
// it was before.
func (c Certificate) Client() func() *tls.Config {
	var mu sync.Mutex
	var at time.Time
	last, failure := c.atStart(), ""
	return func() *tls.Config {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) < rereadEvery {
			return last
		}
		at = time.Now()
		cfg, err := c.read()
		switch {
		case err == nil:
			last, failure = cfg, ""
		case err.Error() != failure: // once
			failure = err.Error()
			slog.Warn("the certificate is not renewed; the one before is still used", "error", failure)
		}
		return last
	}
}

// atStart returns the configuration that Validate has accepted. A file that is gone since then
// leaves one that trusts nothing.
func (c Certificate) atStart() *tls.Config {
	cfg, err := c.read()
	if err != nil {
		return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	}
	return cfg
}

// Server returns the configuration for an HTTP server, nil to serve without TLS. One for the
// system's own processes refuses clients without a certificate of TLS_CA, if that is set. It speaks
// HTTP/1.1 alone, whose requests ServeHTTP can check.
func (c Certificate) Server(internal bool) *tls.Config {
	if c.Cert == "" {
		return nil
	}
	current := c.Client()
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		is := current()
		cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: is.Certificates, NextProtos: []string{"http/1.1"}}
		if internal && c.CA != "" {
			cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, is.RootCAs
		}
		return cfg, nil
	}}
}

// Transport returns a transport to other processes. It ignores HTTP_PROXY, which is for external
// hosts. As with any failure to connect, nothing was sent if a handshake fails.
func (c Certificate) Transport() *http.Transport {
	dialer, current := &net.Dialer{Timeout: 2 * time.Second}, c.Client()
	return &http.Transport{
		DialContext: dialer.DialContext,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&tls.Dialer{NetDialer: dialer, Config: current()}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, &net.OpError{Op: "dial", Net: network, Err: err}
			}
			return conn, nil
		},
		MaxIdleConnsPerHost: 256, // with net/http's 2, most concurrent calls would connect anew
		// Well below the servers' own, or a POST would meet a connection that is being closed.
		IdleConnTimeout: 30 * time.Second,
	}
}
