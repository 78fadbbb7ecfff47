package faults

import (
	"net/url"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/wire"
	"example.com/shop/tools/topology"
)

// behind returns a wire to the server at the address, and the address that leads through it.
func behind(t *testing.T, address string) (w *wire.Wire, through string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	w = wire.To(t, u.Host)
	u.Host = w.Address()
	return w, u.String()
}

// behindWire restarts the processes behind a wire to PostgreSQL, until undo is called.
func (s *shop) behindWire(t *testing.T, processes ...*topology.Process) (w *wire.Wire, undo func()) {
	t.Helper()
	w, admin := behind(t, s.AdminURL)
	var env []string
	for _, m := range topology.Modules {
		env = append(env, strings.ToUpper(m)+"_DATABASE_URL="+s.Plan.RuntimeURL(admin, m))
	}
	return w, s.set(t, env, processes...)
}

// set restarts the processes with more settings, until undo is called.
func (s *shop) set(t *testing.T, env []string, processes ...*topology.Process) (undo func()) {
	t.Helper()
	before := map[*topology.Process][]string{}
	for _, p := range processes {
		before[p] = p.Env
		p.Env = append(append([]string{}, p.Env...), env...)
		s.restart(t, p, p.Stop)
	}
	return func() {
		t.Helper()
		for _, p := range processes {
			p.Env = before[p]
			s.restart(t, p, p.Stop)
		}
	}
}
