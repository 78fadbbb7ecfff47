package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/shop/platform/devkit/certs"
	"example.com/shop/platform/process"
)

// The façade shows upstreams its certificate, and trusts those of its authority. Clients need one
// inside; outside browsers are told to stay with TLS, and the façade itself answers preflights.
func TestTheFacadeSpeaksTLS(t *testing.T) {
	t.Parallel()
	ours, another := certs.New(t), certs.New(t)
	issued := func(by *certs.Authority) process.Certificate {
		cert, key := by.Issue(t)
		return process.Certificate{Cert: cert, Key: key, CA: ours.PEM}
	}
	upstream := func(by *certs.Authority) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(echo))
		s.TLS = issued(by).Server(true)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	file := []string{"OLD", upstream(ours), "NEW", upstream(another)}
	f := start(t, withRates(file...), func(c *config) {
		c.Certificate = issued(ours)
		must(t, c.Edge.Origins.UnmarshalText([]byte("https://app.example")))
	})
	const outside, inside = "/v1/things", "/v1/things/rates"
	expect := func(as process.Certificate, method, url, want string) {
		t.Helper()
		transport := as.Transport()
		transport.DisableKeepAlives = true
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+url, http.NoBody)
		must(t, err)
		r.Header.Set("Origin", "https://app.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		got := "refused"
		if answer, err := transport.RoundTrip(r); err == nil {
			answer.Body.Close()
			got = fmt.Sprint(answer.StatusCode, " ", answer.Header.Get("Access-Control-Allow-Origin"), " ", answer.Header.Get("Strict-Transport-Security"))
		}
		if got != want {
			t.Errorf("%s %s: %q, want %q", method, url, got, want)
		}
	}
	stranger := process.Certificate{CA: ours.PEM}
	expect(stranger, http.MethodGet, f.addr+outside, "200 https://app.example max-age=31536000")
	expect(stranger, http.MethodOptions, f.addr+outside, "204 https://app.example max-age=31536000")
	expect(stranger, http.MethodGet, f.inside+inside, "refused")
	expect(issued(another), http.MethodGet, f.inside+inside, "refused")
	expect(issued(ours), http.MethodGet, f.inside+inside, "200  ")
	expect(issued(ours), http.MethodOptions, f.inside+inside, "200  ") // the upstream's
	f.apply(t, split(0, 100, file...))
	expect(stranger, http.MethodPost, f.addr+outside, "502 https://app.example max-age=31536000")
}
