package architecture

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// contractsDo is "write" to rewrite contracts/ (make generate), "release" to move the baseline
// (make release-contracts), and empty to check.
var contractsDo = os.Getenv("CONTRACTS")

// TestContracts checks what the files alone do not show: which routes the running shop serves, and
// whether it still handles the events that earlier releases stored.
func TestContracts(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	url, database := shopOf(t)
	if contractsDo == "write" {
		writeSchemas(t, tree)
	}
	t.Run("OpenAPI", func(t *testing.T) { compareOpenAPI(t, tree, url) })
	t.Run("StoredEvents", func(t *testing.T) { replayStored(t, tree, database) })
}

// shopOf returns the shop that the environment names, as seam up -- COMMAND does: its URL, and an
// admin connection to its database. Without one the test is skipped.
func shopOf(t *testing.T) (url string, database *pgx.Conn) {
	t.Helper()
	url = os.Getenv("SHOP_URL")
	if url == "" {
		t.Skip("SHOP_URL names no shop: bin/seam up -- go test ./architecture starts one")
	}
	database, err := pgx.Connect(t.Context(), os.Getenv("SHOP_DATABASE_URL"))
	if err != nil {
		t.Fatalf("SHOP_DATABASE_URL: %v", err)
	}
	t.Cleanup(func() { database.Close(context.WithoutCancel(t.Context())) })
	return url, database
}

// compareOpenAPI compares the committed document of each module with the one that the shop serves.
func compareOpenAPI(t *testing.T, tree Tree, url string) {
	t.Helper()
	for _, module := range tree.Modules() {
		file := contractsFolder + "/" + module + openapiSuffix
		served := fetchOpenAPI(t, url, module)
		switch {
		case contractsDo == "write":
			write(t, file, served)
		case tree[file] != served:
			t.Errorf("%s: is not what the shop serves at /v1/%s/openapi.json\n"+
				"  instead: run make generate, and commit the result", file, module)
		}
	}
}

func fetchOpenAPI(t *testing.T, url, module string) string {
	t.Helper()
	address := url + "/v1/" + module + "/openapi.json"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("modules/%s: the shop does not serve /v1/%s/openapi.json (%s)\n  instead: serve it in cmd/monolith/main.go",
			module, module, response.Status)
	}
	text, err := indented(body)
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	return text
}

// writeSchemas writes every event's schema, and removes those without an event.
func writeSchemas(t *testing.T, tree Tree) {
	t.Helper()
	var topics []string
	for _, e := range tree.Events() {
		if _, faults := tree.Describe(e); len(faults) > 0 {
			t.Fatalf("%s: %s cannot be described: %s", e.At(), e.Go(), strings.Join(faults, "; "))
		}
		topics = append(topics, schemaFile(e.Topic))
		write(t, schemaFile(e.Topic), tree.Schema(e))
	}
	for _, file := range tree.Match(schemaFile("*")) {
		if !slices.Contains(topics, file) {
			os.Remove(filepath.Join(root, file))
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	file = filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
