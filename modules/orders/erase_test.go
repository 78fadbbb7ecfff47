package orders

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/platform/devkit/moduletest"
)

// naming selects how many rows name a customer.
const naming = `SELECT count(*) FROM (SELECT orders::text FROM orders UNION ALL SELECT outbox::text FROM outbox
	UNION ALL SELECT scope FROM idempotency_keys) AS t (row) WHERE row ~ ('\m' || $1 || '\M')`

// confirmed returns an order of ada's that is confirmed and published.
func (s *shop) confirmed() uuid.UUID {
	s.t.Helper()
	id := s.order()
	s.Given(inventoryapi.Reserved{OrderID: id.String()}, paid(id.String()))
	s.published()
	return id
}

func (s *shop) published() {
	s.t.Helper()
	s.Eventually("all is published", "SELECT NOT EXISTS (SELECT FROM outbox_pending)")
}

// erase has staff erase ada.
func (s *shop) erase() (status int, header http.Header, answer map[string]any) {
	s.t.Helper()
	response := s.Call(moduletest.Request{Method: "POST", Path: "/erasures", Role: "staff", Subject: "grace", Body: `{"customer_id":"ada"}`})
	response.JSON(&answer)
	return response.Status, response.Header, answer
}

// A customer is erased from final orders, events and stored answers, once, and their amounts stay.
// Another customer's are untouched.
func TestErase(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ids := []uuid.UUID{s.confirmed(), s.confirmed()}
	if status, _, answer := s.call("eve", "POST", "", teas(1), "eve's"); status != http.StatusCreated {
		t.Fatal(status, answer)
	}
	s.published()
	ofEve := s.Count(naming, "eve")

	open := s.order()
	if status, _, answer := s.erase(); status != http.StatusConflict || answer["type"] != "urn:shop:problem:open-orders" {
		t.Errorf("with an open order: status %d, %v", status, answer)
	}
	s.Given(inventoryapi.Rejected{OrderID: open.String()})
	s.published()
	ids = append(ids, open)
	if n := s.Count(naming, "ada"); n < 9 {
		t.Fatalf("only %d rows name ada before", n)
	}
	for _, want := range []float64{3, 0} {
		if status, _, answer := s.erase(); status != http.StatusOK || answer["erased"] != want {
			t.Errorf("status %d, %v, want %v erased", status, answer, want)
		}
		s.published()
	}
	if n := s.Count(naming, "ada"); n != 0 {
		t.Errorf("%d rows still name ada", n)
	}
	for _, id := range ids {
		if topics := s.Published(id.String()); !slices.Equal(topics, []string{"orders.erased.v1"}) {
			t.Errorf("of %s there are %v", id, topics)
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

// An order whose events are not all published is not erased, and the answer says when to try again.
func TestNothingUnpublishedIsErased(t *testing.T) {
	t.Parallel()
	s := setup(t)
	id := s.confirmed()
	s.Exec("INSERT INTO outbox_pending (event_id, topic, created_at) SELECT id, topic, now() + interval '1 hour' FROM outbox WHERE topic = 'orders.confirmed.v1'")
	status, header, answer := s.erase()
	if status != http.StatusConflict || answer["type"] != "urn:shop:problem:orders-unfinished" || header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v, %v", status, header, answer)
	}
	if got := s.find(id); got.Email != "ada@mail.example" {
		t.Errorf("it is erased: %+v", got)
	}
	s.Exec("DELETE FROM outbox_pending")
	if status, _, answer := s.erase(); status != http.StatusOK {
		t.Errorf("status %d, %v", status, answer)
	}
}

// An old order that is unfinished holds up no other.
func TestAnUnfinishedOrderHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	s := setup(t)
	stuck := s.confirmed()
	s.confirmed()
	s.Exec("INSERT INTO outbox_pending (event_id, topic, created_at) SELECT id, topic, now() + interval '1 hour' FROM outbox WHERE key = $1 LIMIT 1", stuck)
	s.module.cfg.Retention = time.Hour
	s.Advance(2 * time.Hour)
	if more, err := s.module.eraseOld(t.Context()); more || err != nil {
		t.Error(more, err)
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE customer_id = ''"); n != 1 || s.find(stuck).CustomerID != "ada" {
		t.Errorf("%d orders are erased, want the other one", n)
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
