package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// at returns the URL of what listens on a port.
func (s *System) at(port int) string {
	if s.options.TLS != "" {
		return fmt.Sprintf("https://127.0.0.1:%d", port)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// natsURL returns the broker's address.
func (s *System) natsURL() string {
	if s.options.TLS != "" {
		return strings.Replace(s.Broker.URL(), "nats://", "tls://", 1)
	}
	return s.Broker.URL()
}

// pem returns a file of the folder with the certificate.
func (s *System) pem(name string) string { return filepath.Join(s.options.TLS, name+".pem") }

// secureBroker writes a configuration for the broker, with TLS and the users in a file beside it.
func (s *System) secureBroker(users string) (path string, err error) {
	path = filepath.Join(filepath.Dir(users), "tls.conf")
	text := fmt.Sprintf("include ./%s\ntls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n",
		filepath.Base(users), s.pem("cert"), s.pem("key"), s.pem("ca"))
	return path, os.WriteFile(path, []byte(text), 0o600)
}
