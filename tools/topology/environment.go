package topology

import (
	"os"
	"slices"
	"strings"

	"example.com/shop/architecture"
)

// env returns the environment of a process that runs a verb for these modules. A later entry wins:
// the defaults, our own environment, the system's addresses, and the caller's settings. It has no
// setting of another module, and of its own modules the connections that the verb uses.
func (s *System) env(verb string, modules []string, more ...string) []string {
	// All clients of one machine have one address, also those of a load test.
	env := append([]string{"LOG_FORMAT=text", "GATEWAY_ADDRESS_RATE=1000000", "ADDRESS_CONNECTIONS=0", "AUTH_PUBLIC_KEY=" + s.Key.PublicPEM()}, s.Outside.Settings...)
	elsewhere := called(modules)
	for _, m := range elsewhere {
		env = append(env, strings.ToUpper(m)+"_URL="+s.InternalURL)
	}
	if !s.options.Facade {
		env = append(env, "DRAIN_AFTER=0s") // all stop together: nothing to route requests to
	}
	env = append(append(env, ambient()...), "ENVIRONMENT=development")
	if len(elsewhere) > 0 {
		env = append(env, "SERVICE_TOKEN="+ServiceToken(s.Key))
	}
	if s.Broker != nil {
		env = append(env, "NATS_URL="+s.natsURL())
	}
	if s.options.TLS != "" {
		env = append(env, "TLS_CERT_FILE="+s.pem("cert"), "TLS_KEY_FILE="+s.pem("key"), "TLS_CA_FILE="+s.pem("ca"))
	}
	for _, m := range modules {
		if verb == "serve" {
			env = append(env, s.address(m), s.seed(m))
		} else {
			env = append(env, strings.ToUpper(m)+"_MIGRATE_URL="+s.Plan.MigrateURL(s.Admin(m), m))
		}
	}
	env = slices.DeleteFunc(append(env, s.options.Env...), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		of := owner(name)
		isCalled := slices.Contains(elsewhere, of) && name == strings.ToUpper(of)+"_URL"
		return of != "" && !slices.Contains(modules, of) && !isCalled
	})
	return append(env, more...)
}

// called returns the modules that a process of these modules calls in other processes.
func called(modules []string) (elsewhere []string) {
	calls := architecture.Calls()
	for _, m := range modules {
		elsewhere = append(elsewhere, calls[m]...)
	}
	return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(elsewhere))),
		func(m string) bool { return slices.Contains(modules, m) })
}

// owner returns the module that a setting belongs to, by its name, or "" if it is of no module.
func owner(setting string) (module string) {
	for _, m := range Modules {
		if strings.HasPrefix(setting, strings.ToUpper(m)+"_") && len(m) > len(module) {
			module = m
		}
	}
	return module
}

// ambient returns our own environment, without what the system's processes must not know: the
// secrets of those who set the system up, and the connections of another system.
func ambient() []string {
	return slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		name = strings.TrimSuffix(name, "_FILE") // that it can be read from
		switch name {
		case "DATABASE_URL", "SEAM_NATS_SEED", "SEAM_DATABASE_URL", "TEST_DATABASE_URL", "POSTGRES_PASSWORD", "SEAM_ROLE_SECRET",
			"GATEWAY_SECRET", "SERVICE_TOKEN":
			return true
		}
		return owner(name) != "" && slices.ContainsFunc(
			[]string{"_DATABASE_URL", "_MIGRATE_URL", "_RT_PASSWORD", "_MIGRATE_PASSWORD", "_NATS_SEED"},
			func(kind string) bool { return strings.HasSuffix(name, kind) })
	})
}
