// Package edge protects an HTTP server that strangers reach, and the browsers among its clients. It
// is for the façade's public address, or for that of a process without a façade.
package edge

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/cors"

	"example.com/shop/platform/process"
	"example.com/shop/platform/remote"
)

// Config says what strangers may do. The zero value has no limit, and allows no other origins.
type Config struct {
	// The origins whose pages may call the system from a browser, as in
	// https://app.example,https://b.example; unset, none but its own.
	Origins Origins `env:"CORS_ORIGINS"`
	// The most connections that one client address (a /64 of IPv6) may have open; more are closed
	// at once, and 0 is no limit. Those of TRUSTED_PROXIES are not counted.
	Connections int `env:"ADDRESS_CONNECTIONS" envDefault:"1024" min:"0"`
	// PUBLIC_TLS_CERT and PUBLIC_TLS_KEY are a certificate for this address that is not TLS_CERT:
	// browsers trust other authorities than the system's own processes do.
	Certificate process.Certificate `envPrefix:"PUBLIC_"`
}

// Origins are exact origins. They are never all origins.
type Origins struct{ list []string }

// UnmarshalText accepts origins as browsers send them.
func (o *Origins) UnmarshalText(text []byte) error {
	o.list = nil
	for origin := range strings.SplitSeq(string(text), ",") {
		origin = strings.TrimSpace(origin)
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Contains(u.Host, "*") ||
			origin != u.Scheme+"://"+strings.ToLower(u.Host) || u.Scheme+":"+u.Port() == "https:443" || u.Scheme+":"+u.Port() == "http:80" {
			return errors.New("not a list of origins like https://app.example, without a path, a slash at the end, a scheme's own port or *")
		}
		o.list = append(o.list, origin)
	}
	return nil
}

// allowed are the methods that pages of other origins may use.
var allowed = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Protect has the server answer preflights, bound the connections of each client, and, if it speaks
// TLS, tell browsers never to come without.
func (c Config) Protect(server *http.Server, proxies remote.Proxies) {
	if c.Certificate.Cert != "" {
		server.TLSConfig = c.Certificate.Server(false)
	}
	if len(c.Origins.list) > 0 { // for the library, no origins are all
		server.Handler = cors.New(cors.Options{
			AllowedOrigins: c.Origins.list, AllowedMethods: allowed, AllowedHeaders: []string{"*"}, ExposedHeaders: []string{"*"},
			MaxAge: 600, // seconds
		}).Handler(server.Handler)
	}
	if c.Connections > 0 {
		server.ConnState = proxies.Connections(c.Connections)
	}
	if next := server.Handler; server.TLSConfig != nil {
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000") // a year
			next.ServeHTTP(w, r)
		})
	}
}
