package web

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

func TestAccess(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for name, c := range map[string]struct {
		target, authorization string
		status                int
	}{
		"no token":             {"/v1/things/who", "", 401},
		"garbage":              {"/v1/things/who", "Bearer garbage", 401},
		"another role":         {"/v1/things/staff", b.bearer("customer"), 403},
		"staff is no superset": {"/v1/things/who", b.bearer("staff"), 403},
		"customer":             {"/v1/things/who", b.bearer("customer"), 200},
		"staff":                {"/v1/things/staff", b.bearer("staff"), 204},
		"public":               {"/v1/things", "", 200},
		"public with garbage":  {"/v1/things", "Bearer garbage", 200},
	} {
		answer := b.send(t, http.MethodGet, c.target, "", "Authorization", c.authorization)
		if answer.StatusCode != c.status {
			t.Errorf("%s: got %d %s, want %d", name, answer.StatusCode, answer.text, c.status)
		}
		if got := answer.Header.Get("WWW-Authenticate"); (got == "Bearer") != (c.status == 401) {
			t.Errorf("%s: WWW-Authenticate is %q", name, got)
		}
		var who Principal
		if err := json.Unmarshal([]byte(answer.text), &who); name == "customer" && (err != nil || who != ann) {
			t.Errorf("principal is %v (%v)", who, err)
		}
	}
}

// An event that a request publishes names the request, its caller and its trace.
func TestEventsKnowTheirOrigin(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	var got events.Cause
	err := b.Mount("things", func(api huma.API) {
		for path, access := range map[string][]map[string][]string{"/v1/things": Customer, "/v1/things/open": Public} {
			op := huma.Operation{Method: http.MethodPost, Path: path, Security: access}
			huma.Register(api, op, func(ctx context.Context, _ *nothing) (*nothing, error) {
				got = events.CauseOf(ctx)
				return &nothing{}, nil
			})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	trace := "0af7651916cd43dd8448eb211c80319c"
	for path, actor := range map[string]string{"/v1/things": "customer:ann", "/v1/things/open": "anonymous"} {
		b.send(t, http.MethodPost, path, "", "Authorization", b.bearer("customer"), "X-Request-Id", "req-7",
			"Traceparent", "00-"+trace+"-b7ad6b7169203331-00", "Tracestate", "a="+strings.Repeat("b", 250))
		if _, there := got["tracestate"]; there {
			t.Errorf("%s: the event keeps what a client's vendor says: %v", path, got)
		}
		if got["correlationid"] != "req-7" || got["actor"] != actor || !strings.Contains(got["traceparent"], trace) {
			t.Errorf("%s: the event's cause is %v", path, got)
		}
	}
}

// A request that may change something has an action, by which it is audited, if staff or a service
// sends it. It has the path and not the query.
func TestActionsOfStaffAndServices(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	var got origin.Request
	err := b.Mount("audited", func(api huma.API) {
		for path, access := range map[string][]map[string][]string{
			"/v1/audited/{id}": slices.Concat(Customer, Staff), "/v1/audited/{id}/open": Public} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
				op := huma.Operation{OperationID: method + path, Method: method, Path: path, Security: access}
				huma.Register(api, op, func(ctx context.Context, _ *nothing) (*nothing, error) {
					got = origin.From(ctx)
					return &nothing{}, nil
				})
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for request, want := range map[[3]string]string{
		{http.MethodPost, "staff", "/v1/audited/7?a=b"}:  "POST /v1/audited/7",
		{http.MethodDelete, "staff", "/v1/audited/7"}:    "DELETE /v1/audited/7",
		{http.MethodGet, "staff", "/v1/audited/7"}:       "",
		{http.MethodHead, "staff", "/v1/audited/7"}:      "",
		{http.MethodPost, "customer", "/v1/audited/7"}:   "",
		{http.MethodPost, "staff", "/v1/audited/7/open"}: "", // where nobody is asked for a token
	} {
		got = origin.Request{}
		b.send(t, request[0], request[2], "", "Authorization", b.bearer(request[1]))
		if got.Action != want || (want != "" && (got.Actor == "" || got.Client == "")) || got.CorrelationID == "" {
			t.Errorf("%v: %+v, want %q", request, got, want)
		}
	}
}

// A module's routes declare who may call, and are where the façade routes them.
func TestMountRefuses(t *testing.T) {
	t.Parallel()
	for want, op := range map[string]huma.Operation{
		"GET /v1/odd/open declares no access":   {Path: "/v1/odd/open"},
		"GET /v1/odd/hidden declares no access": {Path: "/v1/odd/hidden", Hidden: true},
		"GET /v1/oddity is outside /v1/odd":     {Path: "/v1/oddity", Security: Public},
	} {
		op.Method = http.MethodGet
		err := New(Config{}, nil, silent, nil).Mount("odd", func(api huma.API) {
			huma.Register(api, op, func(context.Context, *nothing) (*nothing, error) { return &nothing{}, nil })
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
