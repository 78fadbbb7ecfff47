package payments

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func TestList(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Work(s.module)
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	s.settled()

	for name, test := range map[string]struct {
		role, query string
		code        int
	}{
		"staff":              {"staff", "?order_id=" + order, http.StatusOK},
		"an unknown order":   {"staff", "?order_id=" + uuid.NewString(), http.StatusOK},
		"a customer":         {"customer", "?order_id=" + order, http.StatusForbidden},
		"a service":          {"service", "?order_id=" + order, http.StatusForbidden},
		"without a token":    {"", "?order_id=" + order, http.StatusUnauthorized},
		"without order":      {"staff", "", http.StatusUnprocessableEntity},
		"no UUID":            {"staff", "?order_id=order-7", http.StatusUnprocessableEntity},
		"a UUID in disguise": {"staff", "?order_id=urn:uuid:" + order, http.StatusOK},
	} {
		if code, body := s.get(test.role, test.query); code != test.code || strings.Contains(body, "tok_") {
			t.Errorf("%s: %d %s, want %d", name, code, body, test.code)
		}
	}

	_, body := s.get("staff", "?order_id="+order)
	var page map[string]any
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	items, _ := page["items"].([]any)
	if len(items) != 1 {
		t.Fatalf("items: %s", body)
	}
	item, _ := items[0].(map[string]any)
	if id, _ := item["id"].(string); uuid.Validate(id) != nil {
		t.Errorf("id %q", id)
	}
	if at, err := time.Parse(time.RFC3339Nano, item["created_at"].(string)); err != nil || at.Location() != time.UTC {
		t.Errorf("created_at %v: %v", at, err)
	}
	delete(item, "id")
	delete(item, "created_at")
	want := map[string]any{
		"next": nil,
		"items": []any{map[string]any{
			"order_id": order, "status": "captured", "amount": map[string]any{"amount": 2598.0, "currency": "EUR"},
		}},
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Error(diff)
	}
	if _, body := s.get("staff", "?order_id="+uuid.NewString()); body != `{"items":[],"next":null}`+"\n" {
		t.Errorf("no payment: %s", body)
	}
}
