package template

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An event is public as long as no module listens to it.
func TestPublic(t *testing.T) {
	t.Parallel()
	f := repository(t)
	was := f[contextMap].Text
	steps := []struct {
		module Module
		want   string
	}{
		{Module{Name: "ferries", Publishes: []string{"ferries.sailed.v1", "ferries.sunk.v1"}},
			"\nferries:\n  public:\n    ferries.sailed.v1: to be said, who will listen\n    ferries.sunk.v1: to be said, who will listen\n"},
		{Module{Name: "harbour", Listens: []string{"ferries.sailed.v1"}},
			"\nferries:\n  public:\n    ferries.sunk.v1: to be said, who will listen\n\nharbour:\n  listens_to: [ferries.sailed.v1]\n"},
		{Module{Name: "weather", Listens: []string{"ferries.sunk.v1"}},
			"\nferries: {}\n\nharbour:\n  listens_to: [ferries.sailed.v1]\n\nweather:\n  listens_to: [ferries.sunk.v1]\n"},
	}
	var err error
	for _, step := range steps {
		if f, _, err = f.With(step.module); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(was+step.want, f[contextMap].Text); diff != "" {
			t.Errorf("with %s: %s", step.module.Name, diff)
		}
	}
	for i, name := range []string{"weather", "harbour", "ferries"} {
		if f, _, err = f.Without(name); err != nil {
			t.Fatal(err)
		}
		want := was
		if i < 2 {
			want += steps[1-i].want
		}
		got := f[contextMap].Text
		if i == 1 { // at the end of the entry
			want = was + "\nferries:\n  public:\n    ferries.sunk.v1: to be said, who will listen\n    ferries.sailed.v1: to be said, who will listen\n"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("without %s: %s", name, diff)
		}
	}
}
