package service

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

type bulb struct {
	Watts int `json:"w"`
}

type kind string

type stamp struct {
	Version int32 `json:"version"`
}

// Extra is embedded, and no struct.
type Extra map[string]any

// lit has a field of each kind that an event may have, and of some that it may not.
type lit struct {
	Bulbs  []bulb            `json:"bulbs"`
	Notes  map[string]string `json:"notes,omitempty"`
	At     time.Time         `json:"at"`
	Degree *float64          `json:"degree"`
	Spare  *bulb             `json:"spare,omitempty"`
	Kind   kind              `json:"kind"`
	Secret string            `json:"-"`
	Number int64             `json:"number,string"`
	Hot    bool
	Image  []byte `json:"image"`
	stamp
	Extra
	hidden int             //nolint:unused // as in an event
	Any    any             `json:"any"`
	Raw    json.RawMessage `json:"raw"`
	Again  []*lit          `json:"again"`
}

func (lit) Topic() string              { return "lamps.lit.v1" }
func (lit) Aggregate() (string, int64) { return "", 0 }

// lamps is a module that holds what its test gives it.
type lamps struct {
	shelf any
	call  any

	closer io.Closer
	inner  struct{ list []any }
}

func (*lamps) Routes(huma.API)           {}
func (*lamps) Publishes() []events.Event { return []events.Event{lit{}} }
func (*lamps) Handlers() []events.Handler {
	return []events.Handler{events.On(func(context.Context, pgx.Tx, lit) error { return nil })}
}
func (m *lamps) Workers() []func(context.Context) error {
	if stop, ok := m.call.(chan struct{}); ok {
		go func() { <-stop }()
	}
	return nil
}

func TestDescribe(t *testing.T) {
	d, err := Describe("lamps", &lamps{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Subscribes, []string{"lamps.lit.v1"}) || len(d.Reaches) > 0 || !json.Valid(d.OpenAPI) {
		t.Errorf("got %+v", d)
	}
	bulbs := []Field{{Name: "w", GoName: "Watts", Type: "integer", Format: "int64"}}
	want := Event{Topic: "lamps.lit.v1", Type: "lit", Payload: Field{GoType: "service.lit", Type: "object", Fields: []Field{
		{Name: "bulbs", GoName: "Bulbs", Type: "array", Elements: &Field{GoType: "service.bulb", Type: "object", Fields: bulbs}},
		{Name: "notes", GoName: "Notes", Type: "object", Optional: true, Elements: &Field{Type: "string"}},
		{Name: "at", GoName: "At", Type: "string", Format: "date-time"},
		{Name: "degree", GoName: "Degree", Type: "number", Format: "double", Nullable: true},
		{Name: "spare", GoName: "Spare", GoType: "service.bulb", Type: "object", Optional: true, Fields: bulbs},
		{Name: "kind", GoName: "Kind", GoType: "service.kind", Type: "string"},
		{Name: "number", GoName: "Number", Type: "string"},
		{Name: "Hot", GoName: "Hot", Type: "boolean"},
		{Name: "image", GoName: "Image", Type: "string", Format: "byte"},
		{Name: "version", GoName: "Version", Type: "integer", Format: "int32"},
		{Name: "Extra", GoName: "Extra", GoType: "service.Extra", Type: "object", Elements: &Field{GoType: "interface {}"}},
		{Name: "any", GoName: "Any", GoType: "interface {}"},
		{Name: "raw", GoName: "Raw", GoType: "json.RawMessage"},
		{Name: "again", GoName: "Again", Type: "array", Elements: &Field{GoType: "service.lit", Nullable: true}},
	}}}
	if diff := cmp.Diff(want, d.Publishes[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What another module's package made is found wherever the module keeps it. Here platform's
// packages are the neighbours of platform/service.
func TestWhatAModuleReaches(t *testing.T) {
	other := events.NewMemoryBus()
	for name, m := range map[string]*lamps{
		"a value":            {shelf: other},
		"in a list":          {inner: struct{ list []any }{[]any{1, other}}},
		"in a map":           {shelf: map[string]any{"x": other}},
		"behind an own type": {shelf: &lamps{shelf: other}},
		"a method":           {call: other.Close},
		"a key":              {shelf: map[any]int{other: 1}},
		"as something else":  {closer: other},
	} {
		d, err := Describe("lamps", m)
		if err != nil || !slices.Equal(d.Reaches, []string{"example.com/shop/platform/events"}) {
			t.Errorf("%s: got %v, %v", name, d.Reaches, err)
		}
	}
	if d, err := Describe("lamps", &lamps{shelf: os.Stdout, call: func() {}}); err != nil || len(d.Reaches) > 0 {
		t.Errorf("what is its own, or of no module: got %v, %v", d.Reaches, err)
	}
}

// New is inert, or the program cannot describe its modules.
func TestInert(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for name, newModule := range map[string]func(*Parts) Module{
		"Workers starts": func(*Parts) Module { return &lamps{call: stop} },
		"it reads":       func(p *Parts) Module { _, _ = p.DB.Exec(t.Context(), "SELECT 1"); return &lamps{} },
		"it starts":      func(*Parts) Module { go func() { <-stop }(); return &lamps{} },
		"it is gone":     func(*Parts) Module { panic("out of oil") },
	} {
		if _, err := inert("lamps", newModule); err == nil {
			t.Errorf("%s: it is accepted", name)
		}
	}
	if _, err := inert("lamps", func(p *Parts) Module { p.Outbox(); return &lamps{} }); err != nil {
		t.Error(err)
	}
}
