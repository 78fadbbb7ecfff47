package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"testing"

	"example.com/shop/tools/topology"
)

// These tests are for any product: they take its modules from the context map.

// aModule returns one of them.
func aModule() string { return topology.Modules[0] }

// twoModules returns two of them, in the order in which seam lists them.
func twoModules(t *testing.T) (one, other string) {
	t.Helper()
	if len(topology.Modules) < 2 {
		t.Skip("it takes two modules")
	}
	return topology.Modules[0], topology.Modules[1]
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// checkTokens reads what each module serves to whom, and fails unless each such page refuses a
// request without a token, and accepts the token of its role.
func checkTokens(t *testing.T, url string, token func(role string) string) {
	t.Helper()
	ask := func(path, token string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	for _, module := range topology.Modules {
		var document struct {
			Paths map[string]map[string]struct{ Security []map[string][]string }
		}
		response := ask("/v1/"+module+"/openapi.json", "")
		err := json.NewDecoder(response.Body).Decode(&document)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("the document of %s: %d, %v", module, response.StatusCode, err)
		}
		for path, operations := range document.Paths {
			path = parameter.ReplaceAllString(path, "x")
			for _, alternative := range operations["get"].Security {
				for _, role := range alternative["bearer"] {
					without, with := ask(path, ""), ask(path, token(role))
					without.Body.Close()
					with.Body.Close()
					refused := []int{http.StatusUnauthorized, http.StatusForbidden}
					if without.StatusCode != http.StatusUnauthorized || slices.Contains(refused, with.StatusCode) || with.StatusCode >= 500 {
						t.Errorf("%s answers %d without a token, and %d with one of %s", path, without.StatusCode, with.StatusCode, role)
					}
				}
			}
		}
	}
}
