package acceptance

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"
)

func TestOrdersThatAreNotThere(t *testing.T) {
	t.Parallel()
	c, other := newCustomer(t), newCustomer(t)
	o := c.place(t, "tok_ok", line{"honey-linden", 1})
	checkProblems(t, map[string]refused{
		"unknown order":               {request{method: http.MethodGet, path: "/v1/orders/" + uuid.NewString(), token: c.token}, http.StatusNotFound, "order-not-found"},
		"another's order":             {request{method: http.MethodGet, path: "/v1/orders/" + o.ID, token: other.token}, http.StatusNotFound, "order-not-found"},
		"cancelling an unknown order": {request{method: http.MethodPost, path: "/v1/orders/" + uuid.NewString() + "/cancel", token: c.token}, http.StatusNotFound, "order-not-found"},
		"cancelling another's order":  {request{method: http.MethodPost, path: "/v1/orders/" + o.ID + "/cancel", token: other.token}, http.StatusNotFound, "order-not-found"},
		"an id that is none":          {request{method: http.MethodGet, path: "/v1/orders/" + secret, token: c.token}, http.StatusUnprocessableEntity, "validation-failed"},
		"a bad cursor":                {request{method: http.MethodGet, path: "/v1/orders?cursor=" + secret, token: c.token}, http.StatusBadRequest, "invalid-cursor"},
		"too large pages":             {request{method: http.MethodGet, path: "/v1/orders?limit=101", token: c.token}, http.StatusUnprocessableEntity, "validation-failed"},
	})
}

func TestWhoMayCallOrders(t *testing.T) {
	t.Parallel()
	id := uuid.NewString()
	checkRoles(t, map[string]allowed{
		"place":       {request{method: http.MethodPost, path: "/v1/orders", key: id, body: "{}"}, "customer"},
		"list orders": {request{method: http.MethodGet, path: "/v1/orders"}, "customer"},
		"get order":   {request{method: http.MethodGet, path: "/v1/orders/" + id}, "customer"},
		"cancel":      {request{method: http.MethodPost, path: "/v1/orders/" + id + "/cancel"}, "customer"},
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	c := newCustomer(t)
	var want []string
	for range 5 {
		want = append(want, c.place(t, "tok_ok", line{"strainer-steel", 1}).ID)
	}
	slices.Reverse(want) // newest first
	var got []string
	path := "/v1/orders?limit=2"
	for pages := 1; ; pages++ {
		p := get[page[order]](t, c.token, path)
		for _, o := range p.Items {
			got = append(got, o.ID)
		}
		if p.Next == nil {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
		path = fmt.Sprintf("/v1/orders?limit=2&cursor=%s", *p.Next)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if others := get[page[order]](t, newCustomer(t).token, "/v1/orders"); len(others.Items) != 0 || others.Next != nil {
		t.Errorf("a new customer sees %+v", others)
	}
}
