package web

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A caller who sends too much is told to wait, and for how long. Others are served, and so is the
// same subject in another role, and a service at any rate.
func TestACallerWhoSendsTooMuchWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{CallerRate: 2, CallerBurst: 5})
	synctest.Test(t, func(t *testing.T) {
		ann := b.bearer("customer")
		bob := "Bearer " + b.sign(claimsOf(`"sub":"bob","role":"customer"`, claim("exp", time.Hour)))
		send := func(target, token string) answer {
			t.Helper()
			return b.send(t, http.MethodGet, target, "", "Authorization", token)
		}
		served := 0
		for range 300 {
			a := send("/v1/things/who", ann)
			if a.StatusCode == http.StatusOK {
				served++
			} else if a.StatusCode != http.StatusTooManyRequests || a.Header.Get("Retry-After") != "1" ||
				a.problem.Type != "urn:shop:problem:too-many-requests" {
				t.Fatalf("got %d, after %q: %s", a.StatusCode, a.Header.Get("Retry-After"), a.text)
			}
		}
		if served != 5 {
			t.Errorf("%d of 300 requests were served, want 5", served)
		}
		for _, c := range [][2]string{{"/v1/things/who", bob}, {"/v1/things/staff", b.bearer("staff")}, {"/v1/things", ann}} {
			if a := send(c[0], c[1]); a.StatusCode >= 300 {
				t.Errorf("%s: got %d %s", c[0], a.StatusCode, a.text)
			}
		}
		service := claimsOf(`"sub":"lamps","role":"service"`, claim("exp", time.Hour))
		service = "Bearer " + b.sign(strings.Replace(service, `"app"`, `"app-internal"`, 1))
		for range 100 {
			if a := send("/v1/things/service", service); a.StatusCode >= 300 {
				t.Fatalf("a service: got %d %s", a.StatusCode, a.text)
			}
		}
		time.Sleep(time.Second)
		if a := send("/v1/things/who", ann); a.StatusCode != http.StatusOK {
			t.Errorf("a second later: %d %s", a.StatusCode, a.text)
		}
	})
}
