package web

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// What services alone may call is not at HTTP_ADDR, whoever asks; unset, it is nowhere.
func TestAnInternalRouteIsNotAtThePublicAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		internal      string
		public, inner int
	}{
		"an address of its own": {"127.0.0.1:0", http.StatusNotFound, http.StatusUnauthorized},
		"none":                  {"", http.StatusNotFound, 0},
		"the same address":      {"localhost:0", http.StatusUnauthorized, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(Config{Addr: "localhost:0", InternalAddr: c.internal}, nil, silent, nil)
			err := s.Mount("tolls", func(api huma.API) {
				for path, who := range map[string][]map[string][]string{"/v1/tolls/rates": Service, "/v1/tolls": Public} {
					huma.Register(api, huma.Operation{OperationID: strings.ReplaceAll(path, "/", "-"), Method: http.MethodPost, Path: path, Security: who},
						func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			check := func(address, method, path string, want int) {
				t.Helper()
				request, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close()
				if answer.StatusCode != want {
					t.Errorf("%s %s: %d, want %d", method, path, answer.StatusCode, want)
				}
			}
			address := serve(t, s)
			check(address, "POST", "/v1/tolls", http.StatusNoContent)
			check(address, "POST", "/v1/tolls/rates", c.public)
			if c.public == http.StatusNotFound {
				check(address, "GET", "/v1/tolls/rates", http.StatusNotFound) // and not 405, which tells of it
			}
			if (s.inside != nil) != (c.inner != 0) {
				t.Fatalf("an internal listener: %v", s.inside)
			}
			if s.inside != nil {
				inside := s.inside.Addr().String()
				check(inside, "POST", "/v1/tolls/rates", c.inner)
				check(inside, "POST", "/v1/tolls", http.StatusNotFound)
			}
			if !strings.Contains(string(s.OpenAPI("tolls")), "/v1/tolls/rates") {
				t.Error("the contract lacks what is internal")
			}
		})
	}
}
