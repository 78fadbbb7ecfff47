package web

import (
	"net/http"
	"testing"

	"example.com/shop/platform/devkit/certs"
	"example.com/shop/platform/process"
)

// A process without a façade serves strangers at HTTP_ADDR, over TLS; one behind a façade, and
// HTTP_INTERNAL_ADDR, serve those with a certificate. The transport for calls has one.
func TestWhoNeedsACertificate(t *testing.T) {
	t.Parallel()
	ours := certs.New(t)
	cert, key := ours.Issue(t)
	as, stranger := process.Certificate{Cert: cert, Key: key, CA: ours.PEM}, process.Certificate{CA: ours.PEM}
	call := func(by process.Certificate, address string) (header http.Header, err error) {
		cfg := patient
		cfg.Certificate, cfg.Retries = by, 0
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/v1/none", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := NewTransport(cfg).RoundTrip(r)
		if err != nil {
			return nil, err
		}
		return answer.Header, answer.Body.Close()
	}
	for internal, public := range map[string]bool{"127.0.0.1:0": true, "": true, "localhost:0": false} {
		s := New(Config{Addr: "localhost:0", InternalAddr: internal, Certificate: as}, nil, silent, nil)
		address := serve(t, s)
		if header, err := call(stranger, address); (err == nil) != public || (header.Get("Strict-Transport-Security") != "") != public {
			t.Errorf("HTTP_INTERNAL_ADDR=%s: a stranger at HTTP_ADDR gets %v, %v", internal, header, err)
		}
		if _, err := call(as, address); err != nil {
			t.Errorf("HTTP_INTERNAL_ADDR=%s: one of us at HTTP_ADDR: %v", internal, err)
		}
		if s.inside == nil {
			continue
		}
		inside := s.inside.Addr().String()
		if _, err := call(stranger, inside); err == nil {
			t.Error("a stranger is served inside")
		}
		if header, err := call(as, inside); err != nil || header.Get("Strict-Transport-Security") != "" {
			t.Errorf("one of us inside: %v, %v", header, err)
		}
	}
}
