package main

import (
	"errors"
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

func TestMoveSaysWhatIsMissing(t *testing.T) {
	t.Setenv("SEAM_STATE", t.TempDir())
	t.Setenv("DATABASE_URL", "")
	for want, words := range map[string]string{
		"seam move NAME --to":      "",
		`no verb "shove"`:          "shove " + aModule(),
		"say of which module":      "status",
		"there is no module":       "plan nosuch --to postgres://db/other",
		"needs DATABASE_URL":       "status " + aModule(),
		"say seam move NAME --to ": "plan " + aModule() + " now",
		"--json is for":            "switch " + aModule() + " --json",
		"--yes and --gone are for": "back --yes " + aModule(),
	} {
		if err := runMove(t.Context(), strings.Fields(words)); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("seam move %s: %v; want %s", words, err, want)
		}
	}
}

// A side that is gone for good is given up only with --yes, and then nothing of it is left.
func TestMoveFinishesWithoutTheOtherSide(t *testing.T) {
	t.Parallel()
	module := aModule()
	o := newOperator(t)
	o.env = append(o.env, "SEAM_STATE="+t.TempDir(), "DATABASE_URL="+o.db.AdminURL())
	admin := o.db.Admin(t)
	if _, err := admin.Exec(t.Context(), "INSERT INTO "+module+".home (state, epoch, move, elsewhere) "+
		"VALUES ('home', 3, gen_random_uuid(), 'postgres://127.0.0.1:1/gone')"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		words, want string
		records     int
	}{
		{"", "say --yes", 1}, {" --yes", "names postgres://127.0.0.1:", 0},
	} {
		printed, said, code := o.call(t, "move finish "+module+" --gone --to postgres://nobody@127.0.0.1:1/gone"+test.words)
		if (code == 0) != (test.records == 0) || !strings.Contains(printed+said, test.want) {
			t.Errorf("%q: exit code %d: %s%s", test.words, code, printed, said)
		}
		var records int
		if err := admin.QueryRow(t.Context(), "SELECT count(*) FROM "+module+".home").Scan(&records); err != nil || records != test.records {
			t.Errorf("%q: there are %d records, %v", test.words, records, err)
		}
	}
}

// The status says what the first database knows when nothing names another one, as before any move.
func TestMoveStatusOfTheFirstSide(t *testing.T) {
	t.Parallel()
	module := aModule()
	o := newOperator(t)
	o.env = append(o.env, "SEAM_STATE="+t.TempDir(), "DATABASE_URL="+o.db.AdminURL())
	admin := o.db.Admin(t)
	for _, step := range []struct {
		statement, want string
		code            int
	}{
		{"SELECT", "/" + o.db.Name + ", and has never moved", 0},
		{"SELECT", "Next: seam move seed " + module + " --to ADMIN-URL", 0},
		{"COMMENT ON SCHEMA " + module + " IS 'its record'", "moved: its record", 0},
		{"INSERT INTO " + module + ".home (state, epoch, move, elsewhere) VALUES ('home', 3, gen_random_uuid(), 'postgres://127.0.0.1:1/copy')",
			"/" + o.db.Name + "; --to ADMIN-URL of postgres://127.0.0.1:1/copy", 0},
		{"UPDATE " + module + ".home SET state = 'standby'", "for postgres://127.0.0.1:1/copy: --to ADMIN-URL", 1}, // and it can be written
		{"DROP SCHEMA " + module + " CASCADE", "has no table " + module + ".home", 2},
	} {
		if _, err := admin.Exec(t.Context(), step.statement); err != nil {
			t.Fatal(err)
		}
		if printed, said, code := o.call(t, "move status "+module); code != step.code || !strings.Contains(printed+said, step.want) {
			t.Errorf("after %s: exit code %d: %s%s; want %d and %q", step.statement, code, printed, said, step.code, step.want)
		}
	}
	if _, said, code := o.call(t, "move switch "+module); code != 2 || !strings.Contains(said, "--to ADMIN-URL") {
		t.Errorf("a switch to nowhere: exit code %d, said %q", code, said)
	}
}
