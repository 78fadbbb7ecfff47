package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// always are true in every committed state, however wild the load: the sampler asks again and again while it runs.
var always = map[string]string{
	"what came in is on hand, reserved or shipped, and none is negative": `
		SELECT sku FROM inventory.stock
		WHERE on_hand + reserved + shipped <> initial + restocked OR least(on_hand, reserved, shipped) < 0`,
	"what is reserved and shipped is what the reservations say": `
		SELECT s.sku FROM inventory.stock s
		WHERE (s.reserved, s.shipped) <> (
			SELECT coalesce(sum(l.quantity) FILTER (WHERE r.status = 'reserved'), 0), coalesce(sum(l.quantity) FILTER (WHERE r.status = 'shipped'), 0)
			FROM inventory.reservations r JOIN inventory.reservation_lines l USING (order_id) WHERE l.sku = s.sku)`,
	"a confirmed order is reserved or shipped, and paid": `
		SELECT o.id FROM orders.orders o
		LEFT JOIN inventory.reservations r ON r.order_id = o.id LEFT JOIN payments.payments p ON p.order_id = o.id
		WHERE o.status = 'confirmed' AND (coalesce(r.status, '') NOT IN ('reserved', 'shipped') OR coalesce(p.status, '') <> 'captured'
			OR p.amount <> o.total OR p.currency <> o.currency)`,
}

// finally are true once everything has settled.
var finally = map[string]string{
	"every order is confirmed or cancelled": `SELECT id FROM orders.orders WHERE status NOT IN ('confirmed', 'cancelled')`,
	"a confirmed order is shipped": `
		SELECT o.id FROM orders.orders o LEFT JOIN inventory.reservations r ON r.order_id = o.id
		WHERE o.status = 'confirmed' AND coalesce(r.status, '') <> 'shipped'`,
	"a cancelled order holds no stock": `
		SELECT o.id FROM orders.orders o JOIN inventory.reservations r ON r.order_id = o.id
		WHERE o.status = 'cancelled' AND r.status IN ('reserved', 'shipped')`,
	"a cancelled order holds no money": `
		SELECT o.id FROM orders.orders o JOIN payments.payments p ON p.order_id = o.id
		WHERE o.status = 'cancelled' AND p.status NOT IN ('tombstone', 'declined', 'cancelled', 'refunded')`,
	"every order was told of once": `
		SELECT o.id FROM orders.orders o LEFT JOIN notifications.messages m ON m.order_id = o.id
		GROUP BY o.id, o.status HAVING count(m.id) <> 1 OR min(m.status) <> 'sent' OR min(m.kind) <> o.status`,
	"every outbox is drained": `
		SELECT id FROM orders.outbox WHERE published_at IS NULL UNION ALL SELECT id FROM inventory.outbox WHERE published_at IS NULL
		UNION ALL SELECT id FROM payments.outbox WHERE published_at IS NULL`,
	"every event reached every listener": missing(),
	"nothing is a dead letter": `
		SELECT event_id FROM orders.failed UNION ALL SELECT event_id FROM inventory.failed
		UNION ALL SELECT event_id FROM payments.failed UNION ALL SELECT event_id FROM notifications.failed`,
	"what is told of a confirmed order has the trace and the correlation of the request that placed it": `
		SELECT o.id FROM orders.orders o JOIN (
			SELECT key, headers FROM orders.outbox UNION ALL SELECT key, headers FROM inventory.outbox UNION ALL SELECT key, headers FROM payments.outbox
		) e ON e.key = o.id::text
		WHERE o.status = 'confirmed' GROUP BY o.id
		HAVING count(*) <> 5 OR count(DISTINCT split_part(e.headers->>'traceparent', '-', 2)) <> 1 OR count(DISTINCT e.headers->>'correlationid') <> 1`,
	"nothing deadlocked": `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0`,
}

// listens is what each module listens to. A topic begins with the module that tells it.
var listens = map[string][]string{
	"orders":        {"inventory.reserved.v1", "inventory.rejected.v1", "payments.captured.v1", "payments.declined.v1"},
	"inventory":     {"orders.placed.v1", "orders.confirmed.v1", "orders.cancelled.v1"},
	"payments":      {"orders.payment_due.v1", "orders.cancelled.v1"},
	"notifications": {"orders.placed.v1", "orders.confirmed.v1", "orders.cancelled.v1"},
}

// missing finds events that a listener has not handled.
func missing() string {
	var each []string
	for listener, topics := range listens {
		for _, topic := range topics {
			teller, _, _ := strings.Cut(topic, ".")
			each = append(each, fmt.Sprintf("SELECT e.id FROM %s.outbox e WHERE e.topic = '%s' AND NOT EXISTS (SELECT FROM %s.inbox i WHERE i.event_id = e.id)",
				teller, topic, listener))
		}
	}
	return strings.Join(each, " UNION ALL ")
}

// violations names each invariant that does not hold, with some of the rows that break it.
func violations(ctx context.Context, pool *pgxpool.Pool, invariants map[string]string) (broken []string, err error) {
	for name, query := range invariants {
		var rows []string
		var count int
		err := pool.QueryRow(ctx, "SELECT count(*), coalesce((array_agg(broken::text))[1:3], '{}') FROM ("+query+") AS broken").Scan(&count, &rows)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if count > 0 {
			broken = append(broken, fmt.Sprintf("%s: %d rows, such as %v", name, count, rows))
		}
	}
	slices.Sort(broken)
	return broken, nil
}

// sample asks for what is always true until stop is called, which fails the test unless it was asked often enough. A database that
// is down cannot answer; its silence is not counted.
func (s *shop) sample(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan struct{})
	samples := 0
	go func() {
		defer close(finished)
		for ctx.Err() == nil {
			broken, err := violations(ctx, s.admin, always)
			if err == nil {
				samples++
			}
			for _, b := range broken {
				t.Errorf("while it ran: %s", b)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() {
		cancel()
		<-finished
		if samples < 5 {
			t.Errorf("only %d samples were taken", samples)
		}
	}
}

// settle waits until the invariants of the end hold and checks all others.
func (s *shop) settle(t *testing.T, l *load) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute) // 10,000 orders on a busy machine need three
	for {
		broken, err := violations(t.Context(), s.admin, finally)
		if err == nil && len(broken) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not settle (%v):\n%s", err, strings.Join(broken, "\n"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	broken, err := violations(t.Context(), s.admin, always)
	if err != nil || len(broken) > 0 {
		t.Errorf("at the end (%v):\n%s", err, strings.Join(broken, "\n"))
	}
	s.checkAcknowledged(t, l)
	s.checkProvider(t)
	s.checkMail(t)
}

// checkAcknowledged compares the clients' history with the database: every acknowledged order is there once, and no other.
func (s *shop) checkAcknowledged(t *testing.T, l *load) {
	t.Helper()
	ids := map[string]bool{}
	for _, o := range l.orders {
		if ids[o.id] {
			t.Errorf("order %s was acknowledged to two requests", o.id)
		}
		ids[o.id] = true
		var status, customer string
		err := s.admin.QueryRow(t.Context(), "SELECT status, customer_id FROM orders.orders WHERE id = $1", o.id).Scan(&status, &customer)
		if err != nil || customer != o.customer {
			t.Errorf("acknowledged order %s: customer %q, want %q (%v)", o.id, customer, o.customer, err)
		}
		if status == "confirmed" && (o.paymentToken == "tok_declined") {
			t.Errorf("order %s is confirmed and its card was declined", o.id)
		}
	}
	var count int
	if err := s.admin.QueryRow(t.Context(), "SELECT count(*) FROM orders.orders").Scan(&count); err != nil || count != len(ids) {
		t.Errorf("%d orders are stored and %d were acknowledged (%v)", count, len(ids), err)
	}
}

// checkProvider compares payments with what the provider really did: one capture for each confirmed order with its amount, and for
// each cancelled one nothing, or as much back as was taken.
func (s *shop) checkProvider(t *testing.T) {
	t.Helper()
	var ledger struct {
		Items []struct {
			Key      string `json:"idempotency_key"`
			Kind     string `json:"kind"`
			Outcome  string `json:"outcome"`
			Amount   int64  `json:"amount"`
			Currency string `json:"currency"`
		} `json:"items"`
	}
	getJSON(t, s.Outside.ProviderURL+"/ledger", &ledger)
	type effect struct {
		captures, refunds int
		kept              int64
	}
	byOrder := map[string]*effect{}
	orderOf := map[string]string{}
	rows, err := s.admin.Query(t.Context(), "SELECT id::text, order_id::text FROM payments.attempts")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var key, order string
		if err := rows.Scan(&key, &order); err != nil {
			t.Fatal(err)
		}
		orderOf[key] = order
	}
	for _, entry := range ledger.Items {
		order, known := orderOf[entry.Key]
		if !known {
			t.Errorf("the provider did something that payments never asked for: %+v", entry)
			continue
		}
		if entry.Outcome != "approved" {
			continue
		}
		e := byOrder[order]
		if e == nil {
			e = &effect{}
			byOrder[order] = e
		}
		switch entry.Kind {
		case "capture":
			e.captures++
			e.kept += entry.Amount
		case "refund":
			e.refunds++
			e.kept -= entry.Amount
		}
	}
	rows, err = s.admin.Query(t.Context(), "SELECT id::text, status, total FROM orders.orders")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var id, status string
		var total int64
		if err := rows.Scan(&id, &status, &total); err != nil {
			t.Fatal(err)
		}
		e := byOrder[id]
		if e == nil {
			e = &effect{}
		}
		switch {
		case status == "confirmed" && (e.captures != 1 || e.refunds != 0 || e.kept != total):
			t.Errorf("confirmed order %s of %d: %+v; %s", id, total, *e, s.paymentOf(t, id))
		case status == "cancelled" && (e.captures > 1 || e.captures != e.refunds || e.kept != 0):
			t.Errorf("cancelled order %s of %d: %+v; %s", id, total, *e, s.paymentOf(t, id))
		}
	}
}

// paymentOf tells what payments believes of an order.
func (s *shop) paymentOf(t *testing.T, orderID string) string {
	t.Helper()
	var belief string
	err := s.admin.QueryRow(t.Context(), `SELECT p::text || ' ' || coalesce((SELECT string_agg(a::text, ' ') FROM payments.attempts a WHERE a.order_id = p.order_id), '')
		FROM payments.payments p WHERE p.order_id = $1`, orderID).Scan(&belief)
	if err != nil {
		return err.Error()
	}
	return belief
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}
