package notifications

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"example.com/shop/platform/devkit/moduletest"
	"example.com/shop/platform/web"
)

// list asks for the order's notifications over HTTP.
func (o *office) list(role, query string) (status int, page web.Page[notificationJSON]) {
	o.t.Helper()
	answer := o.Call(moduletest.Request{Path: query, Role: role})
	if answer.Status == http.StatusOK {
		answer.JSON(&page)
	}
	return answer.Status, page
}

func TestWhoMaySee(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, newTray())
	o.Given(placed, confirmed)
	for name, test := range map[string]struct {
		role, query string
		status      int
		items       int
	}{
		"staff":              {"staff", "?order_id=" + order, 200, 1},
		"of another order":   {"staff", "?order_id=" + uuid.NewString(), 200, 0},
		"without a token":    {"", "?order_id=" + order, 401, 0},
		"a customer":         {"customer", "?order_id=" + order, 403, 0},
		"a service":          {"service", "?order_id=" + order, 403, 0},
		"without an order":   {"staff", "", 422, 0},
		"with half an order": {"staff", "?order_id=0199a0c1", 422, 0},
	} {
		t.Run(name, func(t *testing.T) {
			status, page := o.list(test.role, test.query)
			if status != test.status || len(page.Items) != test.items {
				t.Errorf("status %d with %d items, want %d with %d", status, len(page.Items), test.status, test.items)
			}
		})
	}
}
