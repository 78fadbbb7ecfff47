package plants

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"example.com/shop/architecture"
	"example.com/shop/platform/service"
)

// TestAFifthModule adds a twin of payments: the rules accept it, and report each part that is
// missing.
func TestAFifthModule(t *testing.T) {
	t.Parallel()
	tree := withTwin(t, repository(t))
	parts := map[string]architecture.Tree{"": tree}
	for _, part := range []string{"modules/twin/README.md", "migrations/twin/", "cmd/twin/", "modules/twin/twinapi/"} {
		parts[part] = tree.Without(part)
	}
	// The three edits by hand, what the monolith then says, and what make generate writes.
	for _, file := range []string{
		architecture.Described, "go.work", "architecture/contextmap.yaml", "go.mod",
		"deploy/routes.yaml", "deploy/routes/compose.yaml", "deploy/compose.yaml", "deploy/compose.services.yaml",
	} {
		parts[file] = tree.With(file, repository(t)[file])
	}
	var names []string
	var trees []planted
	for name, part := range parts {
		names, trees = append(names, name), append(trees, differing(t, "", part))
	}
	for i, rules := range found(t, trees) {
		var messages []string
		for _, of := range rules {
			messages = append(messages, of...)
		}
		if (names[i] == "") != (len(messages) == 0) {
			t.Errorf("without %q: %q", names[i], messages)
		}
	}
}

// withTwin adds a module that is payments under another name, in every place that lists the
// modules.
func withTwin(t *testing.T, tree architecture.Tree) architecture.Tree {
	t.Helper()
	twin := func(text string) string {
		return strings.NewReplacer("payments", "twin", "PAYMENTS", "TWIN").Replace(text)
	}
	with := maps.Clone(tree)
	for file, text := range tree {
		if folder, rest, ok := strings.Cut(file, "/payments/"); ok && !strings.Contains(folder, "/") && rest != "" {
			with[twin(file)] = twin(text)
		}
	}
	for _, p := range []plant{
		{file: "go.work", old: "\t./modules/inventory\n",
			text: "\t./modules/twin\n\t./modules/twin/twinapi\n\t./modules/inventory\n"},
		{file: "cmd/monolith/main.go", old: "import (", text: "import (\n\t\"example.com/shop/modules/twin\""},
		{file: "go.mod", text: "require example.com/shop/modules/twin v0.0.0\n\nreplace (\n\texample.com/shop/modules/twin => ./modules/twin\n\texample.com/shop/modules/twin/twinapi => ./modules/twin/twinapi\n)\n"},
		{file: "architecture/contextmap.yaml", text: `twin:
  listens_to: [orders.payment_due.v1, orders.cancelled.v1, orders.erased.v1]
  public: {twin.captured.v1: external, twin.declined.v1: external, twin.refunded.v1: external}
`},
	} {
		with = p.in(t, with)
	}
	said := with.Descriptions()
	var twins service.Description
	if err := json.Unmarshal([]byte(twin(jsonOf(t, with.Description("payments")))), &twins); err != nil {
		t.Fatal(err)
	}
	with[architecture.Described] = jsonOf(t, append(slices.Clone(said), twins))
	// As make generate does.
	files, err := with.Derived()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(with, files)
	return with
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
