package process

import (
	"errors"
	"testing"
)

type lamp struct{ open bool }

func (l lamp) Unsafe() []string {
	if l.open {
		return []string{"LAMP_OPEN is set: leave it out"}
	}
	return nil
}

// A setting that is forgotten must not make a process unsafe, and neither must ENVIRONMENT itself.
func TestProductionRefusesWhatIsUnsafe(t *testing.T) {
	type config struct {
		Hall  struct{ Lamp lamp }
		Porch lamp
	}
	var open config
	open.Hall.Lamp.open = true
	refusal := "ENVIRONMENT is production unless it is set, and this is not safe there:\n" +
		"  LAMP_OPEN is set: leave it out\n  LAMP_OPEN is set: leave it out"
	for _, c := range []struct {
		environment string
		parts       []any
		accepted    int
		says        string
	}{
		{"", []any{open, &lamp{true}}, 0, refusal},
		{"production", []any{open, &lamp{true}}, 0, refusal},
		{"development", []any{open, &lamp{true}}, 2, ""},
		{" ", []any{config{}, lamp{}, nil}, 0, ""},
		{"dev", []any{config{}}, 0, "ENVIRONMENT must be production or development"},
		{"Production", []any{open}, 0, "ENVIRONMENT must be production or development"},
	} {
		t.Setenv("ENVIRONMENT", c.environment)
		accepted, err := Guard(c.parts...)
		if len(accepted) != c.accepted || (err == nil) != (c.says == "") || err != nil && (err.Error() != c.says || !errors.Is(err, ErrUsage)) {
			t.Errorf("%q: got %v and %v, want %d and %q", c.environment, accepted, err, c.accepted, c.says)
		}
	}
}
