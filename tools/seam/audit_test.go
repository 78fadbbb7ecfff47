package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, one, other)
	for _, what := range []string{"POST /v1/first", "POST /v1/\x1b[2Jsecond"} {
		o.exec(t, other, `INSERT INTO audit (id, who, what, client, request_id, trace_id)
			VALUES ($1, 'staff:grace', $2, '192.0.2.7', 'r-7', 'abc')`, uuid.Must(uuid.NewV7()), what)
	}
	printed, said, code := o.call(t, "audit --limit 1")
	got := strings.Join(strings.Fields(printed), " ")
	if want := "staff:grace POST /v1/ [2Jsecond 192.0.2.7 r-7 abc " + other + " has 1 more"; code != 0 || !strings.Contains(got, want) {
		t.Errorf("exit code %d, said %q, printed %q, want %q", code, said, printed, want)
	}
	printed, said, code = o.call(t, "audit --json")
	var all []auditOf
	if err := json.Unmarshal([]byte(printed), &all); err != nil || code != 0 || len(all) != 2 || all[0].Count != 0 || all[1].Count != 2 ||
		all[1].Actions[1].What != "POST /v1/first" {
		t.Errorf("exit code %d, said %q, printed %q: %v", code, said, printed, err)
	}
}
