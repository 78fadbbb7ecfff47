package remote

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// seen returns the request as a handler behind the proxies sees it.
func seen(t *testing.T, trusted, from string, headers ...string) (r *http.Request) {
	t.Helper()
	var p Proxies
	if trusted != "" {
		if err := p.UnmarshalText([]byte(trusted)); err != nil {
			t.Fatal(err)
		}
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	request.RemoteAddr = from
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header[name] = append(request.Header[name], value)
	}
	p.Handler(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) { r = got })).
		ServeHTTP(httptest.NewRecorder(), request)
	return r
}

func TestTheClientsAddress(t *testing.T) {
	t.Parallel()
	const proxies = "10.0.0.0/8, 192.0.2.7,fd00::/8"
	for _, c := range []struct{ trusted, from, forwarded, want string }{
		{"", "10.0.0.1:5", "6.6.6.6", "10.0.0.1"},
		{proxies, "8.8.8.8:5", "6.6.6.6", "8.8.8.8"},
		{proxies, "10.0.0.1:5", "", "10.0.0.1"},
		{proxies, "10.0.0.1:5", "6.6.6.6", "6.6.6.6"},
		{proxies, "192.0.2.7:5", "6.6.6.6", "6.6.6.6"},
		{proxies, "192.0.2.8:5", "6.6.6.6", "192.0.2.8"},
		{proxies, "10.0.0.1:5", "forged, 6.6.6.6,10.2.3.4", "6.6.6.6"},
		{proxies, "10.0.0.1:5", "6.6.6.6, unknown", "10.0.0.1"},
		{proxies, "10.0.0.1:5", "6.6.6.6, nonsense, 10.2.3.4", "10.2.3.4"},
		{proxies, "10.0.0.1:5", "10.9.9.9", "10.9.9.9"},
		{proxies, "[fd00::1%eth0]:5", "2001:db8::1%x", "2001:db8::1"},
		{proxies, "[::ffff:10.0.0.1]:5", "::ffff:6.6.6.6", "6.6.6.6"},
	} {
		r := seen(t, c.trusted, c.from, "X-Forwarded-For: "+c.forwarded)
		if got := Address(r).String(); got != c.want {
			t.Errorf("%s from %s behind %q is %s, want %s", c.forwarded, c.from, c.trusted, got, c.want)
		}
	}
	for _, wrong := range []string{"", "10.0.0.0/33", "proxy", "10.0.0.1,,"} {
		if err := new(Proxies).UnmarshalText([]byte(wrong)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestForgedHeadersAreRemoved(t *testing.T) {
	t.Parallel()
	passed := []string{
		"Authorization: t", "Idempotency-Key: k", "X-Request-Id: r", "X-Idempotency-Key: k", "Traceparent: p",
	}
	dropped := []string{
		"X-Forwarded-For: x", "X-Forwarded-Proto: x", "X-Forwarded-Prefix: x", "X-Forwarded: x", "X-ForwardedFor: x", "x-forwarded-host: x",
		"X_Forwarded_For: x", "X-Forwarded_For: x", "X_Real_Ip: x", "User_Id: x", "Forwarded: for=x", "X-Real-Ip: x", "X-Client-Ip: x",
		"X-Cluster-Client-Ip: x", "True-Client-Ip: x", "Cf-Connecting-Ip: x", "X-Original-Url: x", "X-Original-Forwarded-For: x",
		"X-Rewrite-Url: x", "X-Http-Method-Override: DELETE", "X-Http-Method: DELETE", "X-Method-Override: DELETE", "Tracestate: x", "Baggage: x",
	}
	for _, trusted := range []string{"", "192.0.2.1"} { // what a proxy says is of use here, and not further inside
		r := seen(t, trusted, "192.0.2.1:5", append(passed, dropped...)...)
		for _, header := range passed {
			if name, _, _ := strings.Cut(header, ": "); r.Header[name] == nil {
				t.Errorf("%s is removed", name)
			}
		}
		for _, header := range dropped {
			if name, _, _ := strings.Cut(header, ": "); r.Header[name] != nil {
				t.Errorf("%s is not removed", name)
			}
		}
	}
}

func TestEachClientHasItsOwnSlots(t *testing.T) {
	t.Parallel()
	s := Slots{Most: 2}
	for _, c := range []struct {
		client string
		want   bool
	}{
		{"6.6.6.6", true}, {"6.6.6.6", true}, {"6.6.6.6", false}, {"6.6.6.7", true},
		{"2001:db8::1", true}, {"2001:db8::2", true}, {"2001:db8::ffff:3", false}, {"2001:db8:0:1::1", true},
	} {
		if got := s.Take(netip.MustParseAddr(c.client)); got != c.want {
			t.Errorf("%s gets one: %t, want %t", c.client, got, c.want)
		}
	}
	six := netip.MustParseAddr("6.6.6.6")
	if s.Leave(six); !s.Take(six) {
		t.Error("what is given back is gone")
	}
	s.Leave(six)
	s.Leave(six)
	if _, there := s.taken[Network(six)]; there {
		t.Error("a client without anything is kept")
	}
}

func TestEachClientHasItsOwnRate(t *testing.T) {
	t.Parallel()
	r, now := Rate[netip.Prefix]{PerSecond: 10, Burst: 20}, time.Now()
	admitted := func(client string, tries int) (n int) {
		for range tries {
			if r.Wait(Network(netip.MustParseAddr(client)), now) == 0 {
				n++
			}
		}
		return n
	}
	if first, other, six := admitted("6.6.6.6", 100), admitted("6.6.6.7", 1), admitted("2001:db8::1", 15)+admitted("2001:db8::2", 15); first != 20 || other != 1 || six != 20 {
		t.Errorf("%d, %d and %d are admitted at once", first, other, six)
	}
	if now = now.Add(time.Second); admitted("6.6.6.6", 100) != 10 {
		t.Error("not those of a second are admitted a second later")
	}
	if now = now.Add(time.Minute); admitted("6.6.6.8", 1) != 1 || len(r.full) != 1 {
		t.Errorf("%d clients are kept that send nothing", len(r.full)-1)
	}
	for i := range 2 * mostClients {
		r.Wait(Network(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})), now)
	}
	if len(r.full) > mostClients || admitted("6.6.6.8", 100) != 19 {
		t.Errorf("%d clients are kept, and one of them has its rate no more", len(r.full))
	}
}
