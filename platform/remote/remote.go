// Package remote says from which address a request comes. It believes no header about that, unless
// a trusted proxy has sent it.
package remote

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of the proxies that tell the truth in X-Forwarded-For. The zero value
// trusts none.
type Proxies struct{ networks []netip.Prefix }

// UnmarshalText accepts addresses and networks, as in 10.0.0.7,192.168.0.0/16.
func (p *Proxies) UnmarshalText(text []byte) error {
	p.networks = nil
	for field := range strings.SplitSeq(string(text), ",") {
		field = strings.TrimSpace(field)
		network, err := netip.ParsePrefix(field)
		if one, notAddress := netip.ParseAddr(field); notAddress == nil {
			network, err = netip.PrefixFrom(one, one.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("%q is no network like 10.0.0.0/8", field)
		}
		p.networks = append(p.networks, network)
	}
	return nil
}

// Handler sets the RemoteAddr of a request to its client's address, and removes the headers that a
// client could forge: those that say where a request comes from or what it was before, and those
// that would be stored or passed on with its trace.
func (p Proxies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := p.client(r); ok {
			r.RemoteAddr = net.JoinHostPort(client.String(), "0") // its port is not known
		}
		for name := range r.Header {
			if forged(name) {
				delete(r.Header, name)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// client returns what the trusted proxies say is the client's address: the last one of
// X-Forwarded-For that is not theirs. What stands before it may be the client's own invention.
func (p Proxies) client(r *http.Request) (client netip.Addr, known bool) {
	before := Address(r)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for p.trusts(before) && len(hops) > 0 {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if err != nil {
			break
		}
		before, known, hops = next.Unmap().WithZone(""), true, hops[:len(hops)-1]
	}
	return before, known
}

func (p Proxies) trusts(address netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// Address returns the address of a request's RemoteAddr, the zero Addr if that is none.
func Address(r *http.Request) netip.Addr {
	at, _ := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap().WithZone("")
}

// forged reports whether a header is one that only a proxy of ours could have reason to send. In
// other languages' gateways X_Forwarded_For becomes the same as X-Forwarded-For, so no name with an
// underscore passes.
func forged(name string) bool {
	name = strings.ToLower(name)
	if strings.Contains(name, "_") {
		return true
	}
	for _, start := range [...]string{"x-forwarded", "x-original-", "x-rewrite-", "x-http-method", "x-method-override"} {
		if strings.HasPrefix(name, start) {
			return true
		}
	}
	switch name {
	case "forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "x-originating-ip",
		"x-host", "true-client-ip", "cf-connecting-ip", "fastly-client-ip", "x-azure-clientip", "tracestate", "baggage":
		return true
	}
	return false
}
