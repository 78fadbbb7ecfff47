package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The ledger is compared with the databases that the settings lead to: the record with the one at
// the module's own, and where the data was first nothing of it may be left.
func TestTheLedgerIsTrue(t *testing.T) {
	t.Parallel()
	module := aModule()
	here, other := newOperator(t, module), newOperator(t, module)
	runtime, err := url.Parse(here.db.URL(module))
	if err != nil {
		t.Fatal(err)
	}
	prefix := strings.TrimSuffix(runtime.User.Username(), module+"_rt")
	const record = "2026-05-15 7443210987654321098/x epoch 2, 41000 rows in 12 tables, checksum 0123456789abcdef"
	look := func(state, first string, want ...string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "extractions.yaml")
		entry := `extractions:
  - module: ` + module + `
    trigger: isolation
    measurement: 3 faults a month reach the rest; 0 once it stands alone (incidents of 2026-02)
    owner: grace
    state: ` + state + `
    moved: ` + record + `
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: 2026-05-15, decommissioned: 2126-06-30}
    dual_run_ends: 2026-04-10
`
		if state == "decommissioned" {
			entry = strings.Replace(entry, "2126", "2026", 1)
		}
		if err := os.WriteFile(file, []byte(entry), 0o600); err != nil {
			t.Fatal(err)
		}
		asked := here
		asked.env = append(asked.env, "SEAM_ROLE_PREFIX="+prefix, "DATABASE_URL="+first)
		printed, said, code := asked.call(t, "ledger "+file)
		if (code != 0) != (len(want) > 0) || strings.Count(printed, "not so:") != len(want) {
			t.Errorf("%s: exit code %d: %s%s", state, code, printed, said)
		}
		for _, w := range want {
			if !strings.Contains(printed, w) {
				t.Errorf("%s: it does not say %q: %s", state, w, printed)
			}
		}
	}
	unlike, remains := setting(module)+` leads to the record "`, "DATABASE_URL still has the schema "+module+", the role "+prefix+module
	look("data moved", other.db.AdminURL()) // the processes may be given where it was first
	look("decommissioned", other.db.AdminURL(), unlike, remains)
	note := func(text string) {
		if _, err := here.db.Admin(t).Exec(t.Context(), "COMMENT ON SCHEMA "+module+" IS '"+text+"'"); err != nil {
			t.Fatal(err)
		}
	}
	note(strings.Replace(record, "epoch 2", "epoch 4", 1))
	look("data moved", "", unlike)
	note(record)
	look("decommissioned", here.db.AdminURL())
	look("decommissioned", other.db.AdminURL(), remains)
	look("decommissioned", "postgres://127.0.0.1:1/nowhere") // as far as it can be reached
}
