package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
)

// smallSystem is a system of two modules that this repository does not have.
var smallSystem = map[string]string{
	"go.mod":                 "module example.com/shop\n",
	"go.work":                "go 1.26\n\nuse (\n\t.\n\t./modules/lamps\n\t./modules/tolls\n)\n",
	"modules/lamps/go.mod":   "module example.com/shop/modules/lamps\n",
	"modules/tolls/go.mod":   "module example.com/shop/modules/tolls\n",
	"modules/tolls/tolls.go": "package tolls\n",
	"modules/lamps/lampsapi/events.go": `package lampsapi

// Lit is true once the lamp is < 80 °C.
type Lit struct {
	Bulbs []Bulb ` + "`json:\"bulbs\"`" + `
}

// Bulb is one of them.
type Bulb struct{ Name string }

func (Lit) Topic() string { return "lamps.lit.v1" }
`,
	"modules/lamps/lamps.go": `package lamps

`,
	"migrations/lamps/0001_lamps.sql": "-- +goose Up\nCREATE TABLE masts (id int);\nCREATE TABLE poles (id int);\nDROP TABLE poles;\n",
	"cmd/monolith/main.go": `package main

import (
	"fmt"

	_ "example.com/shop/modules/lamps"
	_ "example.com/shop/modules/tolls"
)

func main() {
	fmt.Println(` + "`" + `[
		{"module": "lamps", "openapi": {}, "publishes": [{"topic": "lamps.lit.v1", "type": "Lit", "payload": {
			"type": "object", "fields": [{"name": "bulbs", "go_name": "Bulbs", "type": "array", "elements": {
				"go_type": "lampsapi.Bulb", "type": "object", "fields": [{"name": "Name", "type": "string"}]}}]}}]},
		{"module": "tolls", "openapi": {}}]` + "`" + `)
}
`,
	"architecture/README.md": "before\n<!-- map -->\nold\n<!-- /map -->\nbetween\n<!-- events -->\n<!-- /events -->\nafter\n",
}

func TestMap(t *testing.T) {
	root := t.TempDir()
	for name, text := range smallSystem {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(root, "modules", "lamps"))
	found, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := describedTree(t.Context(), found)
	if err != nil {
		t.Fatal(err)
	}
	model := tree.Model()

	var back architecture.Model
	if err := json.Unmarshal([]byte(mapJSON(model)), &back); err != nil || len(back.Modules) != 2 || len(back.Topologies) != 1 {
		t.Errorf("JSON: %+v, %v", back, err)
	}
	if got := strings.Join(back.Modules[0].Tables, " "); got != "masts" {
		t.Errorf("tables %q", got)
	}
	for _, want := range []string{"lamps", "tolls", "masts", "lit.v1", "external", "monolith: lamps, tolls", "make run"} {
		if drawn := model.Mermaid(); !strings.Contains(drawn, want) {
			t.Errorf("it shows no %q:\n%s", want, drawn)
		}
	}

	for range 2 { // the second time it is up to date
		if err := generate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(filepath.Join(root, "architecture", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before\n<!-- map -->\n```mermaid\n", "```\n<!-- /map -->\nbetween\n", "| `lamps.lit.v1` | Lit is true once",
		"`bulbs` []{`Name` string} | external |", "<!-- /events -->\nafter\n"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}

	for _, args := range []string{"--format svg", "json", "--wirte"} {
		if err := drawMap(t.Context(), strings.Fields(args)); !errors.Is(err, process.ErrUsage) {
			t.Errorf("%q: %v, want a usage error", args, err)
		}
	}
	t.Chdir(t.TempDir())
	if err := drawMap(t.Context(), nil); !errors.Is(err, process.ErrUsage) || strings.Contains(err.Error(), "\n") {
		t.Errorf("outside of a repository: %v, want a usage error in one line", err)
	}
}
