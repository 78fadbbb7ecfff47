package topology

import (
	"slices"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
)

// A process gets the settings and connections of its own modules, and no secret that it does not
// use.
func TestAProcessKnowsOnlyItsOwnSecrets(t *testing.T) {
	if len(Modules) < 2 {
		t.Skip("there is no other module")
	}
	own, other := Modules[0], Modules[1]
	key, err := tokens.LoadOrCreate(t.TempDir() + "/key.pem")
	if err != nil {
		t.Fatal(err)
	}
	s := &System{
		AdminURL: "postgres://admin:secret@127.0.0.1/db", Key: key, Plan: postgres.Plan{Modules: Modules, Secret: "x"},
		Seeds:   map[string]string{own: "own-seed", other: "secret", natsbus.Provisioner: "secret"},
		options: Options{Env: []string{strings.ToUpper(own) + "_LAMP=own", strings.ToUpper(other) + "_LAMP=other"}},
	}
	for _, name := range []string{"DATABASE_URL", "SEAM_ROLE_SECRET", "GATEWAY_SECRET", "SERVICE_TOKEN", "SEAM_NATS_SEED",
		strings.ToUpper(own) + "_MIGRATE_PASSWORD", strings.ToUpper(other) + "_DATABASE_URL", strings.ToUpper(own) + "_NATS_SEED"} {
		t.Setenv(name, "of-the-shell")
	}
	for verb, connection := range map[string][2]string{
		"serve":   {"_DATABASE_URL=", s.Plan.RuntimePassword(own)},
		"migrate": {"_MIGRATE_URL=", s.Plan.MigratePassword(own)},
	} {
		env := s.env(verb, []string{own}, "MORE=1")
		for _, setting := range env {
			name, value, _ := strings.Cut(setting, "=")
			if of := owner(name); of != "" && of != own && !slices.Contains(called([]string{own}), of) {
				t.Errorf("%s of %s gets %s", verb, own, name)
			}
			if strings.Contains(value, "secret") || value == "of-the-shell" || value == "other" {
				t.Errorf("%s of %s gets %s=%s", verb, own, name, value)
			}
		}
		var connections []string
		for _, setting := range env {
			if strings.Contains(setting, "postgres://") {
				connections = append(connections, setting)
			}
		}
		if len(connections) != 1 || !strings.HasPrefix(connections[0], strings.ToUpper(own)+connection[0]) ||
			!strings.Contains(connections[0], connection[1]) {
			t.Errorf("%s of %s gets the connections %q", verb, own, connections)
		}
		if slices.Contains(env, SeedSetting(own)+"=own-seed") != (verb == "serve") {
			t.Errorf("%s of %s: it has the module's key at the broker: %v", verb, own, verb != "serve")
		}
		if !slices.Contains(env, strings.ToUpper(own)+"_LAMP=own") || !slices.Contains(env, "MORE=1") {
			t.Errorf("%s of %s lacks its settings: %q", verb, own, env)
		}
		hasToken := slices.ContainsFunc(env, func(setting string) bool { return strings.HasPrefix(setting, "SERVICE_TOKEN=") })
		if hasToken != (len(called([]string{own})) > 0) {
			t.Errorf("%s of %s: it has a service token: %v", verb, own, hasToken)
		}
	}
}
