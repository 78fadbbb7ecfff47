package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A request that has one of these headers twice is refused.
func TestDecisiveHeadersComeOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	good := http.Header{"Authorization": {b.customer(t)}, "Content-Type": {"application/json"}, "X-Key": {"abc"}, "Idempotency-Key": {"k"}}
	post := func(name string, values ...string) (int, string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/things",
			strings.NewReader(`{"name":"x","count":1}`))
		r.Header = good.Clone()
		r.Header[name] = values
		w := httptest.NewRecorder()
		b.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for name, values := range good {
		if status, body := post(name, values[0]); status != http.StatusOK {
			t.Errorf("%s once: %d %s", name, status, body)
		}
		for _, second := range []string{values[0], "other", ""} {
			status, body := post(name, values[0], second)
			if want := name != "X-Key"; (status == http.StatusBadRequest) != want || want && !strings.Contains(body, "invalid-header") {
				t.Errorf("%s and %q: %d %s", name, second, status, body)
			}
		}
	}
	if status, body := post("Accept", "text/plain", "application/json"); status != http.StatusOK {
		t.Errorf("a list in two lines: %d %s", status, body)
	}
}
