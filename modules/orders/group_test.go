package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/platform/idempotency"
)

type request func() (int, http.Header, map[string]any)

// gather sends the requests while two transactions are held up, which is as many as a group runs at
// once: the next ones place all that has come meanwhile. It returns the statuses and the bodies.
func (s *shop) gather(requests ...request) (statuses []int, answers []map[string]any) {
	s.t.Helper()
	quoted := make(chan struct{}, len(requests)+2)
	s.module.stock = shelf(func(ctx context.Context, skus []string) ([]inventoryapi.Quote, error) {
		defer func() { quoted <- struct{}{} }()
		return teaAndCup(ctx, skus)
	})
	var all sync.WaitGroup
	defer all.Wait()
	release := s.hold()
	defer release()
	for waiting := range 2 {
		all.Go(func() { s.order() })
		<-quoted
		// One after the other: two that come at the same time may share a transaction.
		s.Eventually("the transaction waits", `SELECT count(*) > $1 FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`, waiting)
	}
	statuses, answers = make([]int, len(requests)), make([]map[string]any, len(requests))
	for i, request := range requests {
		all.Go(func() { statuses[i], _, answers[i] = request() })
	}
	for range requests {
		<-quoted
	}
	release()
	all.Wait()
	return statuses, answers
}

// hold keeps every order from being stored until release is called.
func (s *shop) hold() (release func()) {
	s.t.Helper()
	tx, err := s.DB.Begin(s.t.Context())
	if err == nil {
		_, err = tx.Exec(s.t.Context(), "LOCK TABLE orders IN SHARE MODE")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return func() { _ = tx.Rollback(context.WithoutCancel(s.t.Context())) }
}

// admin changes the schema of orders.
func (s *shop) admin(sql string) {
	s.t.Helper()
	if _, err := s.Database.Admin(s.t).Exec(s.t.Context(), sql); err != nil {
		s.t.Fatal(err)
	}
}

// placeAs is a request of the customer for a cup and teas.
func (s *shop) placeAs(customer, key string, teas int) request {
	body := fmt.Sprintf(`{"email":"%s@example.com","payment_token":"tok_ok",
		"lines":[{"sku":"cup","quantity":1},{"sku":"tea","quantity":%d}]}`, customer, teas)
	return func() (int, http.Header, map[string]any) { return s.call(customer, "POST", "", body, key) }
}

func TestPlacementsShareTransactions(t *testing.T) {
	t.Parallel()
	s := setup(t)
	var requests []request
	for i := range 50 {
		requests = append(requests, s.placeAs(fmt.Sprint("c", i), uuid.NewString(), i+1))
	}
	statuses, answers := s.gather(requests...)
	for i, status := range statuses {
		if status != http.StatusCreated {
			t.Fatalf("status %d: %v", status, answers[i])
		}
		id := answers[i]["id"].(string)
		_, _, got := s.call(fmt.Sprint("c", i), "GET", "/"+id, "", "")
		want := []any{
			map[string]any{"sku": "cup", "name": "Cup", "quantity": 1.0, "unit_price": 1800.0},
			map[string]any{"sku": "tea", "name": "Tea", "quantity": float64(i + 1), "unit_price": 1299.0},
		}
		if diff := cmp.Diff(want, got["lines"]); diff != "" {
			t.Errorf("order %d (-want +got):\n%s", i, diff)
		}
	}
	if n := s.Count("SELECT count(DISTINCT xmin::text) FROM orders"); n > 10 {
		t.Errorf("52 orders were stored by %d transactions", n)
	}
	// What they share is the transaction, and nothing else.
	n := s.Count(`SELECT count(DISTINCT headers ->> 'correlationid') FROM outbox JOIN orders ON orders.id::text = key
		WHERE headers ->> 'actor' = 'customer:' || customer_id AND payload ->> 'email' = email AND customer_id <> 'ada'`)
	if n != 50 {
		t.Errorf("%d events have the cause of their own request", n)
	}
}

func TestOneKeyAtTheSameTime(t *testing.T) {
	t.Parallel()
	s := setup(t)
	one := s.placeAs("eve", "one key", 1)
	statuses, answers := s.gather(one, one, one, one, one, one, one, one)
	_, _, order := one()
	created := 0
	for i, status := range statuses {
		switch {
		case status == http.StatusCreated && answers[i]["id"] == order["id"]:
			created++
		case status == http.StatusConflict && answers[i]["type"] == "urn:shop:problem:request-running":
		default:
			t.Errorf("status %d, %v", status, answers[i])
		}
	}
	if n := s.Count("SELECT count(*) FROM orders WHERE customer_id = 'eve'"); created == 0 || n != 1 {
		t.Errorf("%d answers with an order, and %d orders", created, n)
	}
}

// A statement that is only queued returns no error. It fails with the commit, by name, and so does
// the placement, whole and alone.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	for statement, plant := range map[string]string{
		"name: InsertOrders :exec": "ALTER TABLE orders.orders ADD CONSTRAINT planted CHECK (email <> 'eve@example.com')",
		"name: InsertLines :exec":  "ALTER TABLE orders.lines ADD CONSTRAINT planted CHECK (quantity <> 13)",
		"name: StoreAnswers":       "ALTER TABLE orders.idempotency_keys ADD CONSTRAINT planted CHECK (key <> 'bad')",
		"name: Publish":            "ALTER TABLE orders.outbox ADD CONSTRAINT planted CHECK (payload ->> 'customer_id' <> 'eve')",
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.admin(plant)
			bad := s.placeAs("eve", "bad", 13)
			statuses, answers := s.gather(s.placeAs("ann", "k", 1), bad, s.placeAs("bob", "k", 1))
			if statuses[0] != http.StatusCreated || statuses[2] != http.StatusCreated {
				t.Errorf("the others: %d %v", statuses, answers)
			}
			if statuses[1] != http.StatusInternalServerError {
				t.Errorf("status %d, %v", statuses[1], answers[1])
			}
			if log := s.Logged(); !strings.Contains(log, "-- "+statement+": ERROR") {
				t.Errorf("the log does not name the statement: %s", log)
			}
			s.Settle()
			if n := s.Count(`SELECT (SELECT count(*) FROM orders WHERE customer_id = 'eve')
				+ (SELECT count(*) FROM idempotency_keys WHERE key = 'bad')
				+ (SELECT count(*) FROM outbox WHERE payload ->> 'customer_id' = 'eve')`); n != 0 {
				t.Errorf("%d rows of it are there", n)
			}
			table, _, _ := strings.Cut(plant, " ADD ")
			s.admin(table + " DROP CONSTRAINT planted")
			if status, _, answer := bad(); status != http.StatusCreated {
				t.Errorf("the same again: status %d, %v", status, answer)
			}
		})
	}
}

// The order of a caller that does not wait for the answer is stored, and so is the answer.
func TestTheCallerLeavesBeforeTheCommit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	ctx, leave := context.WithCancel(t.Context())
	release := s.hold()
	defer release()
	left := make(chan error)
	key := idempotency.NewKey("ada", "POST /v1/orders", "k", nil)
	go func() {
		_, err := s.module.place(ctx, key, oneTea)
		left <- err
	}()
	s.Eventually("the transaction waits", "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller that left: %v", err)
	}
	release()
	s.Eventually("the order is stored", "SELECT count(*) = 1 FROM orders")
	s.module.stock = shelf(func(context.Context, []string) ([]inventoryapi.Quote, error) { return nil, pgx.ErrNoRows })
	answer, err := s.module.place(t.Context(), key, oneTea)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.status(uuid.MustParse(answer.Body.ID)); got != "placed" {
		t.Errorf("the order is %s", got)
	}
}
