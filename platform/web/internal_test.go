package web

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
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

// The document that anybody may read has no operation that services alone may call, nor a schema
// that only those have.
func TestTheServedDocumentLacksWhatIsInternal(t *testing.T) {
	t.Parallel()
	type Coin struct {
		Number int64 `json:"number"`
	}
	type Rate struct {
		Coins []Coin `json:"coins"`
	}
	type Toll struct {
		Coin Coin `json:"coin"`
	}
	type Axle struct {
		Next []*Rate `json:"next"`
	}
	s := New(Config{Addr: "localhost:0", Docs: true}, nil, silent, nil)
	err := s.Mount("tolls", func(api huma.API) {
		huma.Register(api, huma.Operation{OperationID: "toll", Method: http.MethodGet, Path: "/v1/tolls", Security: Public},
			func(context.Context, *struct{}) (*struct{ Body Toll }, error) { return nil, nil })
		huma.Register(api, huma.Operation{OperationID: "count", Method: http.MethodPost, Path: "/v1/tolls", Security: Service},
			func(context.Context, *struct{ Body Axle }) (*struct{}, error) { return nil, nil })
		huma.Register(api, huma.Operation{OperationID: "rates", Method: http.MethodPost, Path: "/v1/tolls/rates", Security: Service},
			func(context.Context, *struct{}) (*struct{ Body Rate }, error) { return nil, nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Server: s}
	text := b.send(t, http.MethodGet, "/v1/tolls/openapi.json", "").text
	var served struct {
		OpenAPI    string
		Paths      map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(text), &served); err != nil || served.OpenAPI == "" {
		t.Fatalf("it is no document: %v: %s", err, text)
	}
	found := slices.Sorted(maps.Keys(served.Components.Schemas))
	for path, methods := range served.Paths {
		for method := range methods {
			found = append(found, method+" "+path)
		}
	}
	if diff := cmp.Diff([]string{"Coin", "Fault", "Problem", "Toll", "get /v1/tolls"}, found); diff != "" {
		t.Errorf("it has: %s", diff)
	}
}
