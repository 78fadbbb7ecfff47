package payments

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/platform/devkit/moduletest"
)

func TestList(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Work(s.module)
	s.Given(due(order, "tok_ok"))
	s.settled()
	get := func(role, query string) (moduletest.Answer, map[string]any) {
		var page map[string]any
		answer := s.Call(moduletest.Request{Path: query, Role: role})
		answer.JSON(&page)
		return answer, page
	}
	for name, test := range map[string]struct {
		role, query string
		status      int
	}{
		"a customer":         {"customer", "?order_id=" + order, http.StatusForbidden},
		"a service":          {"service", "?order_id=" + order, http.StatusForbidden},
		"without a token":    {"", "?order_id=" + order, http.StatusUnauthorized},
		"without order":      {"staff", "", http.StatusUnprocessableEntity},
		"no UUID":            {"staff", "?order_id=order-7", http.StatusUnprocessableEntity},
		"a UUID in disguise": {"staff", "?order_id=urn:uuid:" + order, http.StatusOK},
	} {
		if answer, _ := get(test.role, test.query); answer.Status != test.status {
			t.Errorf("%s: %d %s, want %d", name, answer.Status, answer.Body, test.status)
		}
	}

	_, page := get("staff", "?order_id="+order)
	item := page["items"].([]any)[0].(map[string]any)
	id, at := item["id"].(string), item["created_at"].(string)
	if uuid.Validate(id) != nil || !strings.HasSuffix(at, "Z") {
		t.Errorf("id %q, created_at %q", id, at)
	}
	if _, err := time.Parse(time.RFC3339Nano, at); err != nil {
		t.Error(err)
	}
	want := map[string]any{"next": nil, "items": []any{map[string]any{
		"id": id, "created_at": at, "order_id": order, "status": "captured",
		"amount": map[string]any{"amount": 2598.0, "currency": "EUR"},
	}}}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Error(diff)
	}
	if answer, _ := get("staff", "?order_id="+uuid.NewString()); string(answer.Body) != `{"items":[],"next":null}`+"\n" {
		t.Errorf("no payment: %s", answer.Body)
	}
}
