package payments

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

// batch returns the events as the consumer delivers them.
func batch[E events.Event](happened ...E) (deliveries []events.Delivery[E]) {
	for _, e := range happened {
		deliveries = append(deliveries, events.Delivery[E]{Event: e})
	}
	return deliveries
}

// A result that waits for the payment's lock goes by the status that it finds then.
func TestCancelledBesideTheResult(t *testing.T) {
	t.Parallel()
	s := setup(t)
	called, release := make(chan struct{}), make(chan struct{})
	s.Work(s.process(seen{provider: s.module.provider, capture: func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
		close(called)
		<-release
		return s.module.provider.Capture(ctx, key, token, m)
	}}))
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	<-called
	err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := s.module.onOrderCancelled(t.Context(), tx, batch(cancelOf(order))); err != nil {
			return err
		}
		close(release)
		s.Eventually("the result waits", "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.settled()
	s.check(order, "refunded", []string{wasRefunded}, []string{"capture approved", "refund approved"})
}

// A consumer that has fallen behind finds both in one batch. No card is charged only to be
// refunded.
func TestDueAndCancelledInOneTransaction(t *testing.T) {
	t.Parallel()
	for name, cancelFirst := range map[string]bool{"due first": false, "cancelled first": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.Work(s.module)
			order, other := uuid.NewString(), uuid.NewString()
			err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
				if cancelFirst {
					if err := s.module.onOrderCancelled(t.Context(), tx, batch(cancelOf(order), cancelOf(order))); err != nil {
						return err
					}
				}
				err := s.module.onPaymentDue(t.Context(), tx,
					batch(due(order, "tok_ok"), due(other, "tok_ok"), due(order, "tok_ok")))
				if err != nil || cancelFirst {
					return err
				}
				return s.module.onOrderCancelled(t.Context(), tx, batch(cancelOf(order), cancelOf(order)))
			})
			if err != nil {
				t.Fatal(err)
			}
			s.settled()
			s.check(other, "captured", []string{wasCaptured}, []string{"capture approved"})
			if published := s.Published(order); published != nil {
				t.Errorf("published %v", published)
			}
		})
	}
}

// In whatever batches the bus delivers them, each payment moves once, and what is published belongs
// to the request behind its event.
func TestManyOrdersAtOnce(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Work(s.module)
	const n = 60
	var dues, cancels []events.Event
	orders := s.Neighbour("orders")
	err := orders.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		for range n {
			order := uuid.NewString()
			dues = append(dues, due(order, "tok_ok"), due(order, "tok_ok"))
			cancels = append(cancels, cancelOf(order), cancelOf(order))
			ctx := origin.With(t.Context(), origin.Request{CorrelationID: order, Actor: "customer:ada"})
			if err := orders.Outbox.PublishTx(ctx, tx, due(order, "tok_ok")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Publish(dues...)
	s.settled()
	s.Publish(append(cancels, cancelOf(uuid.NewString()))...)
	s.settled()
	for what, query := range map[string]string{
		"refunded payments":    "SELECT count(*) FROM payments WHERE status = 'refunded' AND version = 4 AND cancelled_at IS NOT NULL",
		"events of their own":  "SELECT count(DISTINCT key) FROM outbox WHERE topic = 'payments.captured.v1' AND headers ->> 'correlationid' = key AND headers ->> 'actor' = 'customer:ada'",
		"captures":             "SELECT count(*) FROM outbox WHERE topic = 'payments.captured.v1'",
		"refunds":              "SELECT count(*) FROM outbox WHERE topic = 'payments.refunded.v1'",
		"orders that are here": "SELECT count(*) - 1 FROM payments",
	} {
		if got := s.Count(query); got != n {
			t.Errorf("%d %s, want %d", got, what, n)
		}
	}
	if got := len(s.ledger()); got != 2*n {
		t.Errorf("the provider did %d things for %d orders", got, n)
	}
	if got := s.Count("SELECT count(DISTINCT xmin::text) FROM inbox WHERE topic = 'orders.payment_due.v1'"); got > 20 {
		t.Errorf("%d events were handled by %d transactions", 3*n, got)
	}
}

// A statement that is only queued returns no error. It fails with what waits behind it, by name:
// the event is a dead letter, the job is tried again, and no other fails with it.
func TestAQueuedStatementFails(t *testing.T) {
	t.Parallel()
	const bad = "00000000-0000-7000-8000-000000000bad"
	for statement, test := range map[string]struct {
		plant  string
		first  []events.Event
		reason string
	}{
		"InsertTombstones": {"payments ADD CONSTRAINT planted CHECK (status <> 'tombstone' OR order_id <> '" + bad + "')",
			[]events.Event{cancelOf(bad)}, "SELECT reason FROM failed"},
		"MovePayments": {"payments ADD CONSTRAINT planted CHECK (status <> 'captured' OR order_id <> '" + bad + "')",
			[]events.Event{due(bad, "tok_ok")}, "SELECT reason FROM jobs WHERE reason <> ''"},
		"EnqueueJobs": {"jobs ADD CONSTRAINT planted CHECK (key <> '" + bad + "')",
			[]events.Event{due(bad, "tok_ok")}, "SELECT reason FROM failed"},
		"Publish": {"outbox ADD CONSTRAINT planted CHECK (topic <> 'payments.captured.v1' OR key <> '" + bad + "')",
			[]events.Event{due(bad, "tok_ok")}, "SELECT reason FROM jobs WHERE reason <> ''"},
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			admin := s.Database.Admin(t)
			if _, err := admin.Exec(t.Context(), "ALTER TABLE payments."+test.plant); err != nil {
				t.Fatal(err)
			}
			s.Work(s.module)
			var others []events.Event
			for range 5 {
				others = append(others, due(uuid.NewString(), "tok_ok"))
			}
			s.Publish(append(others, test.first...)...)
			s.Eventually("the others are captured", "SELECT count(*) = 5 FROM payments WHERE status = 'captured'")
			s.Eventually("it has failed", "SELECT EXISTS ("+test.reason+")")
			var reason string
			if err := s.DB.QueryRow(t.Context(), test.reason).Scan(&reason); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(reason, "-- name: "+statement) {
				t.Errorf("the reason does not name the statement: %s", reason)
			}
			if test.reason == "SELECT reason FROM failed" {
				return
			}
			table, _, _ := strings.Cut(test.plant, " ")
			if _, err := admin.Exec(t.Context(), "ALTER TABLE payments."+table+" DROP CONSTRAINT planted"); err != nil {
				t.Fatal(err)
			}
			s.settled() // by what the provider says that it has done
			if diff := cmp.Diff([]string{wasCaptured}, s.Published(bad)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
