package topology

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state folder keeps to the databases that its first run has chosen: the data of a module would
// be in the other one.
func TestDatabasesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	choose := func(o Options) error {
		o.State = state
		s := System{options: o}
		return s.chooseDatabases()
	}
	own, shared := Options{Split: []string{"tolls", "parcels"}, Apart: true}, Options{Split: []string{"tolls", "parcels"}}
	for _, step := range []struct {
		options Options
		refused string
	}{
		{own, ""},
		{own, ""},
		{shared, "are [parcels,tolls], not []"},
		{Options{Split: []string{"tolls"}, Apart: true}, "not [tolls]"},
		{Options{Apart: true}, "name them by SPLIT"},
		{Options{Split: own.Split, Apart: true, Pooler: "pgbouncer"}, "leave out SEAM_POOLER"},
	} {
		err := choose(step.options)
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Errorf("%+v: %v, want %q", step.options, err, step.refused)
		}
		if err := os.MkdirAll(filepath.Join(state, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	state = t.TempDir() // of a release that did not choose
	if err := os.MkdirAll(filepath.Join(state, "postgres"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := choose(own); err == nil {
		t.Error("what is in the shared database is left there")
	}
	if err := choose(shared); err != nil {
		t.Error(err)
	}
}
