package notifications

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/web"
)

// list asks for the order's notifications over HTTP.
func (o *office) list(role, query string) (status int, page web.Page[notificationJSON]) {
	o.t.Helper()
	request, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet,
		o.server.URL+"/v1/notifications"+query, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	if role != "" {
		request.Header.Set("Authorization", "Bearer "+o.key.Mint(tokens.Claims{Subject: "ada", Role: role}))
	}
	response, err := o.server.Client().Do(request)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	if response.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &page); err != nil {
			o.t.Fatalf("%v in %s", err, body)
		}
	}
	return response.StatusCode, page
}

func TestWhoMaySee(t *testing.T) {
	t.Parallel()
	o := setup(t, testConfig, newTray())
	o.deliver(placed, confirmed)
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
