package main

import (
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"example.com/shop/tools/topology"
)

// Compose reads the split with a database for each module from its two files.
func TestComposeGivesEachModuleItsDatabase(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("docker-compose"); err != nil {
		t.Skip("docker-compose is not installed")
	}
	read := exec.CommandContext(t.Context(), "docker-compose", "--env-file", writeEnvFile(t, state(t)), //nolint:gosec // ours
		"-f", "../../deploy/compose.services.yaml", "-f", "../../deploy/compose.databases.yaml", "config")
	printed, err := read.Output()
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
	}
	if err := yaml.Unmarshal(printed, &compose); err != nil {
		t.Fatal(err)
	}
	for _, m := range topology.Modules {
		for service, kind := range map[string]string{"setup": "ADMIN", "migrate-" + m: "MIGRATE", m: "DATABASE", "operate": "DATABASE"} {
			name := strings.ToUpper(m) + "_" + kind + "_URL"
			if is := compose.Services[service].Environment[name]; !strings.HasSuffix(is, "@postgres-2:5432/"+m) {
				t.Errorf("%s has %s=%s", service, name, is)
			}
		}
	}
	if n := strings.Count(string(printed), "@postgres:5432/shop"); n != 1 { // setup's DATABASE_URL
		t.Errorf("%d connections lead to the first server:\n%s", n, printed)
	}
}
