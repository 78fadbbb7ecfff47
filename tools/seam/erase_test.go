package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"example.com/shop/architecture"
)

// seam erase asks each module with a route for it, and says in one line why it was not done.
func TestErase(t *testing.T) {
	t.Parallel()
	paths, err := architecture.Erasures()
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	var answers []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/erasures") || r.Header.Get("Authorization") != "Bearer of-staff" ||
			string(body) != `{"customer_id":"ada"}` {
			t.Errorf("it sends %s %s: %s", r.Method, r.URL, body)
		}
		answer := answers[min(int(n), len(answers))-1]
		status := http.StatusOK
		if answer != "" {
			status = http.StatusConflict
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"erased":7,"detail":%q}`, answer)
	}))
	defer server.Close()
	o := operator{env: []string{"SEAM_URL=" + server.URL, "SEAM_TOKEN=of-staff"}}
	for _, test := range []struct {
		args    string
		env     string
		answers []string
		calls   int
		code    int
		says    string
	}{
		{args: "", code: 2, says: "--customer must name one customer"},
		{args: "--customer ada more", code: 2, says: `"more" is more than`},
		{args: "--customer ada", env: "SEAM_TOKEN=", code: 2, says: "SEAM_TOKEN is not set"},
		{args: "--customer ada", env: "SEAM_URL=http://127.0.0.1:1", code: 1, says: "does SEAM_URL lead to the system"},
		{args: "--customer ada", answers: []string{""}, calls: len(paths), says: "7 erased"},
		{args: "--customer ada", answers: []string{"something is open"}, calls: 1, code: 2, says: "409 Conflict: something is open"},
	} {
		if len(paths) == 0 && !strings.Contains(test.says, "must") {
			test.calls, test.code, test.says = 0, 2, ""
		}
		calls.Store(0)
		answers = test.answers
		o := operator{env: append(o.env[:2:2], test.env)}
		printed, said, code := o.call(t, "erase "+test.args)
		if code != test.code || int(calls.Load()) != test.calls || !strings.Contains(printed+said, test.says) || strings.Count(said, "\n") > 1 {
			t.Errorf("%s %s: exit code %d after %d calls, printed %q, said %q, want %+v", test.args, test.env, code, calls.Load(), printed, said, test)
		}
	}
}
