package notifications

import (
	"testing"

	"example.com/shop/platform/devkit/moduletest"
)

func TestWhoMaySee(t *testing.T) {
	t.Parallel()
	o := setup(t, newTray())
	o.Given(placed, confirmed)
	for name, test := range map[string]struct {
		role, query string
		status      int
	}{
		"without a token":    {"", "?order_id=" + order, 401},
		"a customer":         {"customer", "?order_id=" + order, 403},
		"a service":          {"service", "?order_id=" + order, 403},
		"without an order":   {"staff", "", 422},
		"with half an order": {"staff", "?order_id=0199a0c1", 422},
	} {
		if answer := o.Call(moduletest.Request{Path: test.query, Role: test.role}); answer.Status != test.status {
			t.Errorf("%s: status %d, want %d", name, answer.Status, test.status)
		}
	}
	if mine, others := len(o.list(order).Items), len(o.list(other).Items); mine != 1 || others != 0 {
		t.Errorf("staff sees %d messages of the order, and %d of another", mine, others)
	}
}
