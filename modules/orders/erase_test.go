package orders

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/platform/devkit/moduletest"
)

// naming selects how many rows name a customer.
const naming = `SELECT count(*) FROM (SELECT orders::text FROM orders UNION ALL SELECT scope FROM idempotency_keys) AS t (row)
	WHERE row ~ ('\m' || $1 || '\M')`

// confirmed returns an order of ada's that is confirmed.
func (s *shop) confirmed() uuid.UUID {
	s.t.Helper()
	id := s.order()
	s.Given(inventoryapi.Reserved{OrderID: id.String()}, paid(id.String()))
	return id
}

// erase has staff erase ada.
func (s *shop) erase() (status int, answer map[string]any) {
	s.t.Helper()
	response := s.Call(moduletest.Request{Method: "POST", Path: "/erasures", Role: "staff", Subject: "grace", Body: `{"customer_id":"ada"}`})
	response.JSON(&answer)
	return response.Status, answer
}

// A customer is erased from final orders and stored answers, and their events are to be, once;
// their amounts stay. Another customer's are untouched.
func TestErase(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := []uuid.UUID{s.confirmed(), s.confirmed()}
	if status, _, answer := s.call("eve", "POST", "", teas(1), "eve's"); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	ofEve := s.Count(naming, "eve")

	open := s.order()
	if status, answer := s.erase(); status != http.StatusConflict || answer["type"] != "urn:shop:problem:open-orders" {
		t.Errorf("with an open order: status %d, %v", status, answer)
	}
	s.Given(inventoryapi.Rejected{OrderID: open.String()})
	ids = append(ids, open)
	if n := s.Count(naming, "ada"); n < 6 {
		t.Fatalf("only %d rows name ada before", n)
	}
	for _, want := range []float64{3, 0} {
		if status, answer := s.erase(); status != http.StatusOK || answer["erased"] != want {
			t.Errorf("status %d, %v, want %v erased", status, answer, want)
		}
	}
	if n := s.Count(naming, "ada"); n != 0 {
		t.Errorf("%d rows still name ada", n)
	}
	for _, id := range ids {
		if n := s.Count("SELECT count(*) FROM erased JOIN outbox USING (key) WHERE key = $1 AND topic = 'orders.erased.v1'", id.String()); n != 1 {
			t.Errorf("%s is erased %d times", id, n)
		}
		if status, _, _ := s.call("ada", "GET", "/"+id.String(), "", ""); status != http.StatusNotFound {
			t.Errorf("ada still sees it: status %d", status)
		}
	}
	if sum := s.Count("SELECT sum(total)::bigint FROM orders WHERE customer_id = '' AND email = '' AND version > 2"); sum != 3*4398 {
		t.Errorf("the orders come to %d", sum)
	}
	if n := s.Count(naming, "eve"); n != ofEve {
		t.Errorf("%d rows name eve, want %d", n, ofEve)
	}
}

// Orders are erased when they have been final for as long as is set; 0 keeps them.
func TestOldOrdersAreErased(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.confirmed()
	s.Advance(time.Hour)
	s.confirmed()
	open := s.order()
	for _, step := range []struct {
		retention, later time.Duration
		erased           int64
	}{{0, 1000 * time.Hour, 0}, {1002 * time.Hour, 0, 0}, {1001 * time.Hour, time.Second, 1}, {time.Hour, 0, 2}} {
		s.Advance(step.later)
		s.module.cfg.Retention = step.retention
		if more, err := s.module.eraseOld(t.Context()); more || err != nil {
			t.Errorf("after %v: %v, %v", step, more, err)
		}
		if n := s.Count("SELECT count(*) FROM orders WHERE customer_id = ''"); n != step.erased {
			t.Errorf("with %s %d are erased, want %d", step.retention, n, step.erased)
		}
	}
	if got := s.find(open); got.CustomerID != "ada" {
		t.Errorf("the open one is erased: %+v", got)
	}
}
