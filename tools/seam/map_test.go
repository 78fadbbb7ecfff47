package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
)

// smallShop is a shop of two modules that this repository does not have.
var smallShop = map[string]string{
	"go.mod":               "module example.com/shop\n",
	"go.work":              "go 1.26\n\nuse (\n\t.\n\t./modules/tea\n\t./modules/till\n)\n",
	"modules/tea/go.mod":   "module example.com/shop/modules/tea\n",
	"modules/till/go.mod":  "module example.com/shop/modules/till\n",
	"modules/till/till.go": "package till\n",
	"modules/tea/teaapi/events.go": `package teaapi

// Brewed is true once the tea is < 80 °C.
type Brewed struct {
	Leaves []Leaf ` + "`json:\"leaves\"`" + `
}

// Leaf is one of them.
type Leaf struct{ Name string }

func (Brewed) Topic() string { return "tea.brewed.v1" }
`,
	"modules/tea/tea.go": `package tea

`,
	"migrations/tea/0001_tea.sql": "-- +goose Up\nCREATE TABLE pots (id int);\nCREATE TABLE cups (id int);\nDROP TABLE cups;\n",
	"cmd/monolith/main.go": `package main

import (
	"fmt"

	_ "example.com/shop/modules/tea"
	_ "example.com/shop/modules/till"
)

func main() {
	fmt.Println(` + "`" + `[
		{"module": "tea", "openapi": {}, "publishes": [{"topic": "tea.brewed.v1", "type": "Brewed", "payload": {
			"type": "object", "fields": [{"name": "leaves", "go_name": "Leaves", "type": "array", "elements": {
				"go_type": "teaapi.Leaf", "type": "object", "fields": [{"name": "Name", "type": "string"}]}}]}}]},
		{"module": "till", "openapi": {}}]` + "`" + `)
}
`,
	"architecture/README.md": "before\n<!-- map -->\nold\n<!-- /map -->\nbetween\n<!-- events -->\n<!-- /events -->\nafter\n",
}

func TestMap(t *testing.T) {
	root := t.TempDir()
	for name, text := range smallShop {
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(root, "modules", "tea"))
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
	if got := strings.Join(back.Modules[0].Tables, " "); got != "pots" {
		t.Errorf("tables %q", got)
	}
	for name, drawn := range map[string]string{"svg": mapSVG(model), "mermaid": model.Mermaid()} {
		for _, want := range []string{"tea", "till", "pots", "brewed.v1", "external", "monolith: tea, till", "make run"} {
			if !strings.Contains(drawn, want) {
				t.Errorf("%s shows no %q:\n%s", name, want, drawn)
			}
		}
	}
	for decoder := xml.NewDecoder(strings.NewReader(mapSVG(model))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
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
	for _, want := range []string{"before\n<!-- map -->\n```mermaid\n", "```\n<!-- /map -->\nbetween\n", "| `tea.brewed.v1` | Brewed is true once",
		"`leaves` []{`Name` string} | external |", "<!-- /events -->\nafter\n"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}

	for _, args := range []string{"--format png", "svg", "--wirte"} {
		if err := drawMap(t.Context(), strings.Fields(args)); !errors.Is(err, process.ErrUsage) {
			t.Errorf("%q: %v, want a usage error", args, err)
		}
	}
	t.Chdir(t.TempDir())
	if err := drawMap(t.Context(), nil); !errors.Is(err, process.ErrUsage) || strings.Contains(err.Error(), "\n") {
		t.Errorf("outside of a repository: %v, want a usage error in one line", err)
	}
}
