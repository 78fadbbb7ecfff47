package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
)

// failpoints are the moments between two steps that cannot be one, with the module whose process dies there; of any module when empty.
var failpoints = []struct{ name, module string }{
	{"placed, not committed", "orders"},
	{"committed, nobody knows", "orders"}, // neither the customer nor the relay
	{"published, not marked", "orders"},
	{"published, not marked", "inventory"},
	{"handled, not committed", ""},
	{"committed, not acknowledged", ""},
	{"claimed, not called", "payments"},
	{"answered, not stored", "payments"},
	{"mailed, not marked", "notifications"},
}

// dieAt has a process die at the point, on one of its first passings, and starts it again without.
func dieAt(name, module string) func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	return func(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
		progress(0.1)
		victims := s.modules()
		victim := victims[r.IntN(len(victims))]
		if module != "" {
			victim = s.serving(t, module)
		}
		before := victim.Env
		victim.Env = append(append([]string{}, before...), fmt.Sprintf("FAILPOINT=%s:%d", name, 1+r.IntN(20)))
		if err := victim.Stop(); err != nil {
			t.Errorf("stop %s: %v", victim.Name, err)
		}
		// It may die before anybody sees it ready.
		_ = s.Restart(t.Context(), victim)
		select {
		case <-victim.Done():
		case <-time.After(time.Minute):
			t.Errorf("%s never came to the point %q", victim.Name, name)
			_ = victim.Stop()
		}
		var end *child.ExitError
		if !errors.As(victim.Err(), &end) || end.Signal != syscall.SIGKILL {
			t.Errorf("%s did not die at the point: %v", victim.Name, victim.Err())
		}
		victim.Env = before
		if err := s.Restart(t.Context(), victim); err != nil {
			t.Errorf("restart %s: %v", victim.Name, err)
		}
	}
}

// ofFailpoints are the matrix's rows for them.
func ofFailpoints() (rows []fault) {
	for _, f := range failpoints {
		name := "dies: " + f.name
		if f.module != "" {
			name += " (" + f.module + ")"
		}
		rows = append(rows, fault{name: name, edited: true, do: dieAt(f.name, f.module)})
	}
	return rows
}
