package attacks

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// seam runs a command of seam as an operator with a staff token.
func seam(t *testing.T, s *shop, args ...string) (printed, failure string, err error) {
	t.Helper()
	var out, errs strings.Builder
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), args...) //nolint:gosec // ours
	command.Env = append(append(os.Environ(), s.Addresses()...), "SEAM_URL="+s.URL, "SEAM_TOKEN="+token(s, "staff", "grace"))
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	return out.String(), errs.String(), err
}

// entry is what seam audit --json says of an action.
type entry struct {
	Who, What, Client string
	RequestID         string `json:"request_id"`
	TraceID           string `json:"trace_id"`
}

// audited returns the actions of a module by who and what.
func audited(t *testing.T, s *shop, module, action string) (found []entry) {
	t.Helper()
	printed, said, err := seam(t, s, "audit", "--json", "--module", module)
	var all []struct{ Actions []entry }
	if err == nil {
		err = json.Unmarshal([]byte(printed), &all)
	}
	if err != nil || len(all) != 1 {
		t.Fatalf("seam audit printed %q and said %q: %v", printed, said, err)
	}
	for _, a := range all[0].Actions {
		if a.Who+" "+a.What == action {
			found = append(found, a)
		}
	}
	return found
}

// What staff changes is in the audit of its module, with the client's address, which the façade
// passes on, and the ids of its line in the log. A module that was taken over cannot take it out.
func TestStaffIsAudited(t *testing.T) {
	s := theShop(t)
	who := "mallory" + uuid.NewString()[:8]
	path := "/v1/inventory/products/cup-celadon/restock"
	status, answer := send(t, http.MethodPost, s.URL+path, token(s, "staff", who), `{"quantity":1}`, "Idempotency-Key: audited", "X-Request-Id: audit-"+who)
	if status != http.StatusOK {
		t.Fatal(status, answer)
	}
	actions := audited(t, s, "inventory", "staff:"+who+" POST "+path)
	if len(actions) != 1 || actions[0].Client != s.here || actions[0].RequestID != "audit-"+who || len(actions[0].TraceID) != 32 {
		t.Fatalf("the audit has %+v, want the restock", actions)
	}
	if line := s.line("route", "/restock", "audit-"+who); !strings.Contains(line, actions[0].TraceID) {
		t.Errorf("the log has another trace than %s: %s", actions[0].TraceID, line)
	}
	conn := connect(t, s.Plan.RuntimeURL(s.AdminURL, "inventory"))
	for _, statement := range []string{"DELETE FROM audit", "UPDATE audit SET who = 'staff:eve'", "TRUNCATE audit", "DROP TABLE audit"} {
		if _, err := conn.Exec(t.Context(), statement); err == nil {
			t.Errorf("%s: it is done", statement)
		}
	}
}
