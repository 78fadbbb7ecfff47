package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// Mount adds a module's routes and, if Config.Docs says so, its OpenAPI at
// /v1/<module>/openapi.json, without what services alone may call, and a page to read and try it at
// /v1/<module>/docs/. It fails when a route does not declare who may call it, or is outside the
// module's prefix, where the façade would never route it.
func (s *Server) Mount(module string, routes func(huma.API)) error {
	prefix := "/v1/" + module
	gate := &gate{Adapter: humachi.NewAdapter(s.router), internal: humachi.NewAdapter(s.internal), prefix: prefix, bodyTimeout: s.cfg.ReadTimeout}
	api := alwaysJSON{huma.NewAPI(humaConfig(module), gate)}
	// Before the routes: huma binds the middleware to an operation when it is registered.
	api.UseMiddleware(s.authorize(api))
	routes(api)
	if err := errors.Join(gate.faults...); err != nil {
		return fmt.Errorf("mount %s: %w", module, err)
	}

	// Rendered once: huma's own route does it on the first request, and two first requests race.
	spec, err := json.Marshal(api.OpenAPI())
	if err != nil {
		return fmt.Errorf("mount %s: write openapi: %w", module, err)
	}
	s.openAPI[module] = spec
	if !s.cfg.Docs {
		return nil
	}
	if spec, err = withoutInternal(spec, gate.insideOnly); err != nil {
		return fmt.Errorf("mount %s: read openapi: %w", module, err)
	}
	s.router.Get(prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(spec)
	})
	docs := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: module, SwaggerJSON: prefix + "/openapi.json", BasePath: prefix + "/docs/",
	})
	s.router.Get(prefix+"/docs", http.RedirectHandler(prefix+"/docs/", http.StatusMovedPermanently).ServeHTTP)
	s.router.Get(prefix+"/docs/*", func(w http.ResponseWriter, r *http.Request) {
		// The page loads nothing from other hosts.
		w.Header().Set("Content-Security-Policy", "default-src 'self'; script-src 'self' 'unsafe-inline'; "+
			"style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Referrer-Policy", "no-referrer")
		docs.ServeHTTP(w, r)
	})
	return nil
}

// withoutInternal returns a document without these operations, and without the schemas that only
// they have.
func withoutInternal(spec []byte, internal []*huma.Operation) ([]byte, error) {
	if len(internal) == 0 {
		return spec, nil
	}
	var document map[string]any
	if err := json.Unmarshal(spec, &document); err != nil {
		return nil, err
	}
	paths, _ := document["paths"].(map[string]any)
	for _, op := range internal {
		methods, _ := paths[op.Path].(map[string]any)
		if delete(methods, strings.ToLower(op.Method)); len(methods) == 0 {
			delete(paths, op.Path)
		}
	}
	components, _ := document["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for before := -1; before != len(schemas); { // one may have been needed by another alone
		before = len(schemas)
		for name, schema := range schemas {
			delete(schemas, name)
			rest, err := json.Marshal(document)
			if err != nil {
				return nil, err
			}
			if bytes.Contains(rest, []byte(`"#/components/schemas/`+name+`"`)) {
				schemas[name] = schema
			}
		}
	}
	return json.Marshal(document)
}

// OpenAPI returns the document of a module that was mounted.
func (s *Server) OpenAPI(module string) []byte { return s.openAPI[module] }

// humaConfig turns off what huma would add: routes, $schema links, formats other than JSON.
func humaConfig(module string) huma.Config {
	cfg := huma.DefaultConfig(module, "1.0.0")
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks, cfg.Transformers = nil, nil
	format := huma.Format{Marshal: marshal, Unmarshal: unmarshal}
	cfg.Formats = map[string]huma.Format{"application/json": format, "json": format}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearer: {Type: "http", Scheme: "bearer", BearerFormat: "JWT",
			Description: "The scope is the role that the token must carry."},
	}
	return cfg
}

// alwaysJSON responds in JSON whatever a client accepts, as RFC 9110 (12.5.1) permits. huma would
// negotiate after the handler has committed, and panics on some Accept headers.
type alwaysJSON struct{ huma.API }

func (alwaysJSON) Negotiate(string) (string, error) { return "application/json", nil }

// gate checks every operation that huma adds to the router, hidden ones too.
type gate struct {
	huma.Adapter
	internal    huma.Adapter // for what services alone may call
	insideOnly  []*huma.Operation
	prefix      string
	bodyTimeout time.Duration
	faults      []error
}

func (g *gate) Handle(op *huma.Operation, handler func(huma.Context)) {
	if op.Security == nil {
		// Collected and not returned: huma's interface has no error here, and one start shows all.
		g.faults = append(g.faults, fmt.Errorf("%s %s declares no access: "+
			"set Security to web.Public, web.Customer, web.Staff or web.Service", op.Method, op.Path))
	}
	if op.Path != g.prefix && !strings.HasPrefix(op.Path, g.prefix+"/") {
		g.faults = append(g.faults, fmt.Errorf("%s %s is outside %s", op.Method, op.Path, g.prefix))
	}
	// The documentation page shows a scheme without its scopes, so the description has the roles.
	callers := cmp.Or(strings.Join(roles(op.Security), " or "), "anybody")
	op.Description = strings.TrimSpace("Who may call: " + callers + ". " + op.Description)
	op.Tags = []string{strings.TrimPrefix(g.prefix, "/v1/")}
	op.MaxBodyBytes = -1 // the server's limit applies; huma's comes first, and is no setting
	op.BodyReadTimeout = g.bodyTimeout
	if slices.Equal(roles(op.Security), []string{"service"}) {
		g.insideOnly = append(g.insideOnly, op)
		g.internal.Handle(op, handler)
		return
	}
	g.Adapter.Handle(op, handler)
}
