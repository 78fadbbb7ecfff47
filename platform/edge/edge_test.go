package edge

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/certs"
	"example.com/shop/platform/process"
	"example.com/shop/platform/remote"
)

// ask returns the headers of an answer to a page of an origin, and whether the request arrived.
func ask(t *testing.T, cfg Config, secure *tls.Config, method, origin string) (header http.Header, arrived bool) {
	server := &http.Server{TLSConfig: secure, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived = true })} //nolint:gosec // it does not listen
	cfg.Protect(server, remote.Proxies{})
	r := httptest.NewRequestWithContext(t.Context(), method, "/v1/lamps", http.NoBody)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,idempotency-key")
	recorder := httptest.NewRecorder()
	server.Handler.ServeHTTP(recorder, r)
	return recorder.Header(), arrived
}

// Pages of the listed origins may call, of others not, and by default of none. No preflight
// arrives.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	var listed Config
	if err := listed.Origins.UnmarshalText([]byte("https://app.example, http://localhost:3000")); err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{"https://app.example", "http://localhost:3000", "http://app.example", "https://app.example:8443",
		"https://x.app.example", "https://app.example.evil.example", "null"} {
		may := ""
		if origin == "https://app.example" || origin == "http://localhost:3000" {
			may = origin
		}
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			header, arrived := ask(t, listed, nil, method, origin)
			if header.Get("Access-Control-Allow-Origin") != may || header.Get("Access-Control-Allow-Credentials") != "" || arrived != (method == http.MethodPost) {
				t.Errorf("%s of %s: %v, arrived %v", method, origin, header, arrived)
			}
			if header, arrived = ask(t, Config{}, nil, method, origin); len(header) > 0 || !arrived {
				t.Errorf("%s of %s, without a list: %v, arrived %v", method, origin, header, arrived)
			}
		}
	}
}

// What would be every origin, or match none, is refused.
func TestOriginsAreExact(t *testing.T) {
	for _, text := range []string{"*", "https://*.example", "null", "app.example", "https://app.example/", "https://app.example/x",
		"https://App.example", "https://u@app.example", "https://app.example,", "https://app.example:443", "http://app.example:80"} {
		t.Setenv("CORS_ORIGINS", text)
		if _, err := process.Config[Config](); err == nil || !strings.HasPrefix(err.Error(), "CORS_ORIGINS: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Browsers are told to stay with TLS where they have it, also by a certificate of the public
// address.
func TestHSTSIsForTLSAlone(t *testing.T) {
	dir := t.TempDir()
	certs.New(t).Write(t, dir)
	t.Setenv("PUBLIC_TLS_CERT_FILE", filepath.Join(dir, "cert.pem"))
	if _, err := process.Config[Config](); err == nil || !strings.HasPrefix(err.Error(), "TLS_CERT and TLS_KEY") {
		t.Errorf("half a certificate: %v", err)
	}
	t.Setenv("PUBLIC_TLS_KEY_FILE", filepath.Join(dir, "key.pem"))
	public, err := process.Config[Config]()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cfg    Config
		secure *tls.Config
		want   string
	}{{Config{}, nil, ""}, {Config{}, &tls.Config{}, "max-age=31536000"}, {public, nil, "max-age=31536000"}} { //nolint:gosec // as above
		if header, _ := ask(t, c.cfg, c.secure, http.MethodGet, ""); header.Get("Strict-Transport-Security") != c.want {
			t.Errorf("%v, want %q", header, c.want)
		}
	}
}
