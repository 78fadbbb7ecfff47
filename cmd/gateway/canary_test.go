package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// tableAfter returns the table of a file that follows another one.
func tableAfter(t *testing.T, before *table, file string) *table {
	t.Helper()
	file = strings.NewReplacer("OLD", "http://old", "NEW", "http://new").Replace(file)
	next, err := newTable(config{}, []byte(file), before)
	must(t, err)
	return next
}

// As the new side grows it gets its share of the clients, known by a cookie or by a key, and keeps
// those that it has.
func TestAClientStaysAsTheNewSideGrows(t *testing.T) {
	t.Parallel()
	const clients = 5000
	moved := map[string]bool{}
	for _, weight := range []int{0, 5, 30, 70, 100} {
		things := tableAfter(t, &table{}, split(100-weight, weight)).match("/v1/things/x")
		for i := range clients {
			for client, headers := range map[string]http.Header{
				fmt.Sprint("cookie ", i): {
					"Cookie": {fmt.Sprintf("a=b; %s=client-%d", canaryCookie, i)}, "Idempotency-Key": {fmt.Sprint(weight, i)},
				},
				fmt.Sprint("key ", i): {"Idempotency-Key": {fmt.Sprintf("client-%d", i)}},
			} {
				request := httptest.NewRequest(http.MethodPost, "/v1/things/x", nil)
				request.Header = headers
				side, cookie := things.choose(request)
				if moved[client] && side.Upstream != "new" {
					t.Errorf("%s went back to %s at %d %%", client, side.Upstream, weight)
				}
				if side.Upstream == "new" {
					moved[client] = true
				}
				if wanted := weight%100 > 0 && headers["Cookie"] == nil; (cookie != nil) != wanted {
					t.Errorf("%s got the cookie %v at %d %%", client, cookie, weight)
				} else if !wanted {
					continue
				}
				// The cookie alone leads to the same side, and does not contain the key.
				request.Header = http.Header{"Cookie": {cookie.Name + "=" + cookie.Value}, "Idempotency-Key": {"another"}}
				if again, _ := things.choose(request); again != side || !cookie.HttpOnly || strings.Contains(cookie.Value, "client") {
					t.Errorf("%s went from %s to %s with %s", client, side.Upstream, again.Upstream, cookie)
				}
			}
		}
		unknown := 0
		for range clients {
			if side, _ := things.choose(httptest.NewRequest(http.MethodGet, "/v1/things/x", nil)); side.Upstream == "new" {
				unknown++
			}
		}
		for _, share := range []int{len(moved) * 100 / (2 * clients), unknown * 100 / clients} {
			if share < weight-3 || share > weight+3 {
				t.Errorf("%d %% of the clients are on the new side at %d %%", share, weight)
			}
		}
	}
}

func TestTheLongestPrefixWins(t *testing.T) {
	t.Parallel()
	const sides = "sides: [{ upstream: old, weight: 100 }] }"
	some := split(1, 99) + "  new: { prefix: /v1/things/new, " + sides + "\n"
	all := some + "  root: { prefix: /, " + sides + "\n"
	for _, c := range []struct{ file, path, want string }{
		{some, "/v1/things", "things"}, {some, "/v1/things/", "things"}, {some, "/v1/things/7", "things"},
		{some, "/v1/things/new", "new"}, {some, "/v1/things/new/7", "new"}, {some, "/v1/things/newer", "things"},
		{some, "/v1/things2", ""}, {some, "/v1", ""}, {some, "/", ""}, {some, "*", ""}, {some, "", ""}, {all, "/favicon.ico", "root"},
	} {
		if r := tableAfter(t, &table{}, c.file).match(c.path); (r == nil) != (c.want == "") || r != nil && r.name != c.want {
			t.Errorf("%q goes to %+v, want %q", c.path, r, c.want)
		}
	}
}
