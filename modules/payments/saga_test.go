package payments

import (
	"cmp"
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
)

const order = "0199a0c1-7f00-7000-8000-000000000001"

var taken, both = []string{"capture approved"}, []string{"capture approved", "refund approved"}

func TestSaga(t *testing.T) {
	t.Parallel()
	cancelled, refused := cancelOf(order), []string{"capture refused"}
	type facts = []events.Event
	twice := func(token string) []facts { return []facts{{due(order, token), due(order, token)}} } // the second finds the row
	for name, test := range map[string]struct {
		facts              []facts // the workers end their jobs after each
		status             string
		published, effects []string
	}{
		"approved":                    {twice("tok_ok"), "captured", []string{wasCaptured}, taken},
		"refused":                     {twice("tok_declined"), "declined", []string{wasDeclined}, refused},
		"unknown token":               {twice("tok_nobody"), "declined", []string{wasDeclined}, refused},
		"captured, the answer lost":   {twice("tok_timeout"), "captured", []string{wasCaptured}, taken},
		"fails twice, then works":     {twice("tok_flaky"), "captured", []string{wasCaptured}, taken},
		"slower than a call may last": {twice("tok_slow"), "captured", []string{wasCaptured}, taken},
		"cancelled before it is due":  {[]facts{{cancelled, due(order, "tok_ok"), cancelled}}, "", nil, nil},
		"cancelled before the claim":  {[]facts{{due(order, "tok_ok"), cancelled}}, "cancelled", nil, nil},
		"cancelled after the capture": {
			[]facts{{due(order, "tok_ok")}, {cancelled, cancelled, due(order, "tok_ok")}},
			"refunded", []string{wasCaptured, wasRefunded}, both,
		},
		"cancelled after the refusal": {
			[]facts{{due(order, "tok_declined")}, {cancelled}}, "declined", []string{wasDeclined}, refused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			for n, facts := range test.facts {
				s.Given(facts...)
				if n == 0 {
					s.Work(s.module)
				}
				s.settled()
			}
			s.check(order, test.status, test.published, test.effects)
			if n := s.Count("SELECT count(*) FROM payments WHERE token <> ''"); n > 0 {
				t.Error("the token is kept though no call can need it")
			}
		})
	}
}

// Of a capture that ends after the cancellation only the refund is published.
func TestCancelledDuringTheCall(t *testing.T) {
	t.Parallel()
	for token, test := range map[string]struct {
		status             string
		published, effects []string
	}{
		"tok_ok":       {"refunded", []string{wasRefunded}, both},
		"tok_declined": {"cancelled", nil, []string{"capture refused"}},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			thaw := s.freeze(false, due(order, token))
			s.Given(cancelOf(order), cancelOf(order))
			s.check(order, "cancelling", nil, nil)
			thaw()
			s.Work(s.module)
			s.settled()
			s.check(order, test.status, test.published, test.effects)
		})
	}
}

// A result that waits for the payment's lock goes by the status that it finds then.
func TestCancelledBesideTheResult(t *testing.T) {
	t.Parallel()
	s := setup(t)
	thaw := s.freeze(false, due(order, "tok_ok"))
	thawed := make(chan struct{})
	err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		if err := s.module.onOrderCancelled(t.Context(), tx, batch(cancelOf(order))); err != nil {
			return err
		}
		go func() { thaw(); close(thawed) }()
		s.Waiting(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-thawed
	s.Work(s.module)
	s.settled()
	s.check(order, "refunded", []string{wasRefunded}, both)
}

// No card is charged only to be refunded, once Config.Quiet has passed.
func TestCancelledWhileTheProviderCannotBeReached(t *testing.T) {
	t.Parallel()
	s := setup(t)
	defer s.sim.Hold()()
	s.Work(s.module)
	s.Given(due(order, "tok_ok"))
	s.Eventually("the capture is claimed", "SELECT count(*) = 1 FROM jobs WHERE tries > 0")
	s.Given(cancelOf(order))
	s.Eventually("it was asked about again", "SELECT count(*) = 1 FROM jobs WHERE tries > 3")
	s.check(order, "cancelling", nil, nil)
	s.ahead.Store(int64(s.cfg.Quiet))
	s.settled()
	s.check(order, "cancelled", nil, nil)
}

// A malformed event becomes a dead letter, whose reason does not contain the token.
func TestMalformedPaymentDueIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := setup(t)
	negative := due(order, "tok_ok")
	negative.Amount.Amount = -1
	s.Publish(negative, due("order 7", "tok_ok"), due(order, ""), cancelOf("order 7"))
	s.Settle()
	if !s.Is("SELECT count(*) = 4 AND count(*) FILTER (WHERE reason LIKE '%tok\\_%') = 0 FROM failed") {
		t.Error("not all four are dead letters, or a reason names the token")
	}
	s.check(order, "", nil, nil)
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
			other := uuid.NewString()
			err := s.DB.InTx(t.Context(), func(tx pgx.Tx) error {
				for _, cancel := range []bool{cancelFirst, !cancelFirst} {
					var err error
					if cancel {
						err = s.module.onOrderCancelled(t.Context(), tx, batch(cancelOf(order), cancelOf(order)))
					} else {
						err = s.module.onPaymentDue(t.Context(), tx,
							batch(due(order, "tok_ok"), due(other, "tok_ok"), due(order, "tok_ok")))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			s.settled()
			s.check(other, "captured", []string{wasCaptured}, taken)
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
	orders := s.Neighbour("orders")
	publish := func(eventOf func(order string) events.Event, ids []string) {
		err := orders.DB.InTx(t.Context(), func(tx pgx.Tx) error {
			for _, id := range append(ids, ids...) {
				ctx := origin.With(t.Context(), origin.Request{CorrelationID: id, Actor: "customer:ada"})
				if err := orders.Outbox.PublishTx(ctx, tx, eventOf(id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s.settled()
	}
	var ids []string
	for range n {
		ids = append(ids, uuid.NewString())
	}
	publish(func(id string) events.Event { return due(id, "tok_ok") }, ids)
	publish(func(id string) events.Event { return cancelOf(id) }, append(ids, uuid.NewString()))
	for what, query := range map[string]string{
		"refunded payments": `SELECT count(*) FROM payments WHERE status = 'refunded' AND version = 4
			AND cancelled_at BETWEEN now() - interval '10 minutes' AND now()`,
		"captured": `SELECT count(*) FROM outbox WHERE topic = 'payments.captured.v1'
			AND headers ->> 'correlationid' = key AND headers ->> 'actor' = 'customer:ada'`,
		"refunded": `SELECT count(*) FROM outbox WHERE topic = 'payments.refunded.v1'
			AND headers ->> 'correlationid' = key AND payload -> 'amount' ->> 'amount' = '2598'`,
		"orders that are here": "SELECT count(*) - 1 FROM payments",
	} {
		if got := s.Count(query); got != n {
			t.Errorf("%d %s, want %d", got, what, n)
		}
	}
	if got := len(s.ledger()); got != 2*n {
		t.Errorf("the provider did %d things for %d orders", got, n)
	}
}

// A process dies between the call and its commit. The next one looks up the key before it calls;
// and if the first was frozen and not dead, its result changes nothing.
func TestCrashBetweenCallAndCommit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cancelled          []events.Event
		status             string
		published, effects []string
	}{
		"and no more":         {nil, "captured", []string{wasCaptured}, taken},
		"and it is cancelled": {[]events.Event{cancelOf(order)}, "refunded", []string{wasRefunded}, both},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			thaw := s.freeze(true, due(order, "tok_ok"))
			s.Given(test.cancelled...)
			s.Work(s.process(func(operation, _ string, call func() (answer, error)) (answer, error) {
				if operation == "capture" {
					t.Error("called again without a look-up")
				}
				return call()
			}))
			s.ahead.Store(int64(s.cfg.Lease))
			s.settled()
			s.check(order, test.status, test.published, test.effects)
			thaw() // and the late result is refused
			s.settled()
			s.check(order, test.status, test.published, test.effects)
		})
	}
}

// A refund that is refused is made again, because the money is owed; one whose answer is lost is
// looked up, and not made again.
func TestRefundIsRetried(t *testing.T) {
	t.Parallel()
	s := setup(t)
	refunds := 0
	s.Work(s.process(func(operation, _ string, call func() (answer, error)) (answer, error) {
		if operation == "capture" {
			return call()
		}
		if refunds++; refunds < 3 {
			return answer{outcome: refused, reason: "not_today"}, nil
		}
		_, err := call()
		return answer{}, cmp.Or(err, context.DeadlineExceeded)
	}))
	for _, e := range []events.Event{due(order, "tok_ok"), cancelOf(order)} {
		s.Given(e)
		s.settled()
	}
	s.check(order, "refunded", []string{wasCaptured, wasRefunded}, both)
	if refunds != 3 {
		t.Errorf("%d refunds were begun, want 3", refunds)
	}
}
