package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// always are the invariants of every committed state, which the sampler checks during the load.
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

// finally are the invariants of a settled shop.
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
	"every order has exactly one notification": `
		SELECT o.id FROM orders.orders o LEFT JOIN notifications.messages m ON m.order_id = o.id
		GROUP BY o.id, o.status HAVING count(m.id) <> 1 OR min(m.status) <> 'sent' OR min(m.kind) <> o.status`,
	"every outbox is drained": `
		SELECT event_id FROM orders.outbox_pending UNION ALL SELECT event_id FROM inventory.outbox_pending
		UNION ALL SELECT event_id FROM payments.outbox_pending`,
	"every subscriber handled every event": missing(),
	"nothing is a dead letter": `
		SELECT event_id FROM orders.failed UNION ALL SELECT event_id FROM inventory.failed
		UNION ALL SELECT event_id FROM payments.failed UNION ALL SELECT event_id FROM notifications.failed`,
	"the events of a confirmed order have the trace and the correlation of the request that placed it": `
		SELECT o.id FROM orders.orders o JOIN (
			SELECT key, headers FROM orders.outbox WHERE topic <> 'orders.payment_due.v1' -- it expires
			UNION ALL SELECT key, headers FROM inventory.outbox UNION ALL SELECT key, headers FROM payments.outbox
		) e ON e.key = o.id::text
		WHERE o.status = 'confirmed' GROUP BY o.id
		HAVING count(*) <> 4 OR count(DISTINCT split_part(e.headers->>'traceparent', '-', 2)) <> 1 OR count(DISTINCT e.headers->>'correlationid') <> 1`,
	"nothing deadlocked": `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database() AND deadlocks > 0`,
}

// rules are the names of all invariants.
var rules = slices.Concat(slices.Sorted(maps.Keys(always)), slices.Sorted(maps.Keys(finally)), compared)

// listens has the topics that each module listens to. A topic begins with its publisher.
var listens = map[string][]string{
	"orders":        {"inventory.reserved.v1", "inventory.rejected.v1", "payments.captured.v1", "payments.declined.v1"},
	"inventory":     {"orders.placed.v1", "orders.confirmed.v1", "orders.cancelled.v1"},
	"payments":      {"orders.payment_due.v1", "orders.cancelled.v1"},
	"notifications": {"orders.placed.v1", "orders.confirmed.v1", "orders.cancelled.v1"},
}

// missing returns a query for the events that a subscriber has not handled. An event that has
// expired is needed by none, and the broker has dropped it.
func missing() string {
	var each []string
	for subscriber, topics := range listens {
		for _, topic := range topics {
			publisher, _, _ := strings.Cut(topic, ".")
			each = append(each, fmt.Sprintf(`SELECT e.id FROM %s.outbox e WHERE e.topic = '%s' AND coalesce(e.expires_at > now(), true)
				AND NOT EXISTS (SELECT FROM %s.inbox i WHERE i.event_id = e.id)`,
				publisher, topic, subscriber))
		}
	}
	return strings.Join(each, " UNION ALL ")
}

// violations returns each broken invariant, with some of the rows that break it.
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

// sample checks the invariants always until stop is called, which returns the broken ones, each as
// first seen. Failed queries do not count: the database may be down.
func (s *shop) sample(t *testing.T) (stop func() (broken []string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan struct{})
	samples := 0
	seen := map[string]string{}
	go func() {
		defer close(finished)
		for ctx.Err() == nil {
			broken, err := violations(ctx, s.admin, always)
			if err == nil {
				samples++
			}
			for _, b := range broken {
				rule, _, _ := strings.Cut(b, ":")
				if seen[rule] == "" {
					seen[rule] = b + ", while it ran"
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() (broken []string) {
		cancel()
		<-finished
		if samples < 5 {
			t.Errorf("the invariants were sampled only %d times", samples)
		}
		return slices.AppendSeq(broken, maps.Values(seen))
	}
}

// counts returns the findings without the example rows, which differ each time.
func counts(broken []string) (counts []string) {
	for _, b := range broken {
		count, _, _ := strings.Cut(b, ", such as")
		counts = append(counts, count)
	}
	return counts
}

// settle waits until the final invariants hold, checks all other rules, and returns the broken
// ones. It goes on waiting while anything changes, because the time depends on the machine.
func (s *shop) settle(t *testing.T, l *load) (broken []string) {
	t.Helper()
	s.taken = append(s.taken, l.orders...)
	var before string
	for deadline, changed := time.Now().Add(5*time.Minute), time.Now(); ; time.Sleep(200 * time.Millisecond) {
		var err error
		broken, err = violations(t.Context(), s.admin, finally)
		if err == nil && len(broken) == 0 {
			break
		}
		if now := fmt.Sprint(counts(broken), err); now != before {
			before, changed = now, time.Now()
		}
		if time.Now().After(deadline) || time.Since(changed) > s.quiet {
			if err != nil {
				t.Fatalf("it does not settle: %v", err)
			}
			break
		}
	}
	now, err := violations(t.Context(), s.admin, always)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(broken, now, s.checkAcknowledged(t), s.checkProvider(t), s.checkMail(t))
}
