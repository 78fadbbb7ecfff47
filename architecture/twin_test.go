package architecture

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"example.com/shop/platform/service"
)

// TestAFifthModule adds a module without a change of a test, a twin of payments: the rules accept
// it, still refuse their plants, and report each part that is missing.
func TestAFifthModule(t *testing.T) {
	t.Parallel()
	tree := withTwin(t, repository(t))
	checkPlants(t, tree)
	for _, r := range all {
		for _, v := range r.check(tree).broken {
			t.Error(v.message())
		}
	}
	for _, part := range []string{"modules/twin/README.md", "migrations/twin/", "cmd/twin/", "modules/twin/twinapi/"} {
		if len(modules.check(tree.Without(part)).broken)+len(contextmap.check(tree.Without(part)).broken) == 0 {
			t.Errorf("no rule reports that %s is missing", part)
		}
	}
	// The three edits by hand, and what make generate writes.
	for _, file := range []string{described, "go.work", "architecture/contextmap.yaml", "go.mod"} {
		if len(modules.check(tree.With(file, repository(t)[file])).broken) == 0 {
			t.Errorf("no rule reports that it is missing in %s", file)
		}
	}
	for _, file := range []string{"deploy/routes.yaml", "deploy/routes/compose.yaml", "deploy/compose.yaml", "deploy/compose.services.yaml"} {
		if len(derived.check(tree.With(file, repository(t)[file])).broken) == 0 {
			t.Errorf("no rule reports that it is missing in %s", file)
		}
	}
}

// withTwin adds a module that is payments under another name, in every place that lists the
// modules.
func withTwin(t *testing.T, tree Tree) Tree {
	t.Helper()
	twin := func(text string) string {
		return strings.NewReplacer("payments", "twin", "PAYMENTS", "TWIN", "attempts", "tries").Replace(text)
	}
	with := maps.Clone(tree)
	for file, text := range tree {
		if under(file, "modules/payments") || under(file, "migrations/payments") || under(file, "cmd/payments") {
			with[twin(file)] = twin(text)
		}
	}
	for _, p := range []plant{
		{file: "go.work", old: "\t./modules/inventory\n",
			text: "\t./modules/twin\n\t./modules/twin/twinapi\n\t./modules/inventory\n"},
		{file: "cmd/monolith/main.go", old: "import (", text: "import (\n\t\"example.com/shop/modules/twin\""},
		{file: "go.mod", text: "require example.com/shop/modules/twin v0.0.0\n\nreplace (\n\texample.com/shop/modules/twin => ./modules/twin\n\texample.com/shop/modules/twin/twinapi => ./modules/twin/twinapi\n)\n"},
		{file: "architecture/contextmap.yaml", text: `twin:
  listens_to: [orders.payment_due.v1, orders.cancelled.v1]
  public: {twin.captured.v1: external, twin.declined.v1: external, twin.refunded.v1: external}
`},
	} {
		with = p.in(t, with)
	}
	told := with.Descriptions()
	payments, err := json.Marshal(with.Description("payments"))
	if err != nil {
		t.Fatal(err)
	}
	var twins service.Description
	if err := json.Unmarshal([]byte(twin(string(payments))), &twins); err != nil {
		t.Fatal(err)
	}
	with[described] = strings.TrimSuffix(indented(append(slices.Clone(told), twins)), "\n")
	// As make generate does.
	files, err := with.Derived()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(with, files)
	return with
}
