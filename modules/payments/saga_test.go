package payments

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/platform/events"
	"example.com/shop/platform/web"
)

const (
	wasCaptured = "payments.captured.v1"
	wasDeclined = "payments.declined.v1"
	wasRefunded = "payments.refunded.v1"
)

// check compares everything that can be seen of an order from outside: its status, what was
// published, what the provider did.
func (s *shop) check(order, status string, published, effects []string) {
	s.t.Helper()
	code, body := s.get("staff", "?order_id="+order)
	var page web.Page[paymentJSON]
	if err := json.Unmarshal([]byte(body), &page); err != nil || code != http.StatusOK {
		s.t.Fatalf("list payments: %d %s (%v)", code, body, err)
	}
	got := ""
	if len(page.Items) == 1 {
		got = page.Items[0].Status
	}
	if got != status {
		s.t.Errorf("status %q, want %q", got, status)
	}
	if diff := cmp.Diff(published, s.Published(order)); diff != "" {
		s.t.Errorf("published (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(effects, s.ledger()); diff != "" {
		s.t.Errorf("provider's ledger (-want +got):\n%s", diff)
	}
}

func TestPaymentDue(t *testing.T) {
	t.Parallel()
	taken, refused := []string{"capture approved"}, []string{"capture refused"}
	for name, test := range map[string]struct {
		token, status, published string
		effects                  []string
	}{
		"approved":                    {"tok_ok", "captured", wasCaptured, taken},
		"refused":                     {"tok_declined", "declined", wasDeclined, refused},
		"unknown token":               {"tok_nobody", "declined", wasDeclined, refused},
		"captured, the answer lost":   {"tok_timeout", "captured", wasCaptured, taken},
		"fails twice, then works":     {"tok_flaky", "captured", wasCaptured, taken},
		"slower than a call may last": {"tok_slow", "captured", wasCaptured, taken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			s.Work(s.module)
			order := uuid.NewString()
			// Published twice, as two events: the second finds the row.
			s.Given(due(order, test.token), due(order, test.token))
			s.settled()
			s.check(order, test.status, []string{test.published}, test.effects)
			if n := s.Count("SELECT count(*) FROM payments WHERE token <> ''"); n > 0 {
				t.Error("the token is kept though no call can need it")
			}
		})
	}
}

func TestOrderCancelled(t *testing.T) {
	t.Parallel()
	both := []string{"capture approved", "refund approved"}

	t.Run("before the payment is due", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		s.Work(s.module)
		order := uuid.NewString()
		s.Given(cancelOf(order), due(order, "tok_ok"), cancelOf(order))
		s.settled()
		s.check(order, "", nil, nil)
	})
	t.Run("before the capture was claimed", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		order := uuid.NewString()
		s.Given(due(order, "tok_ok"), cancelOf(order))
		s.Work(s.module)
		s.settled()
		s.check(order, "cancelled", nil, nil)
	})
	t.Run("after it was captured", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		s.Work(s.module)
		order := uuid.NewString()
		s.Given(due(order, "tok_ok"))
		s.settled()
		s.Given(cancelOf(order), cancelOf(order), due(order, "tok_ok"))
		s.settled()
		s.check(order, "refunded", []string{wasCaptured, wasRefunded}, both)
	})
	t.Run("after it was refused", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		s.Work(s.module)
		order := uuid.NewString()
		s.Given(due(order, "tok_declined"))
		s.settled()
		s.Given(cancelOf(order))
		s.settled()
		s.check(order, "declined", []string{wasDeclined}, []string{"capture refused"})
	})
	// The capture succeeds after the cancellation. Only its refund is published.
	t.Run("during the call", func(t *testing.T) {
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
		s.Given(cancelOf(order), cancelOf(order))
		s.check(order, "cancelling", nil, nil)
		close(release)
		s.settled()
		s.check(order, "refunded", []string{wasRefunded}, both)
	})
	t.Run("while a refusal is on its way", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		release := s.paysim.Hold()
		s.Work(s.module)
		order := uuid.NewString()
		s.Given(due(order, "tok_declined"))
		s.Eventually("the capture is claimed", "SELECT count(*) = 1 FROM jobs WHERE tries > 0")
		s.Given(cancelOf(order))
		release()
		// The call may have ended before the release: then the provider has no record of it.
		s.ahead.Store(int64(time.Hour))
		s.settled()
		if got := s.Published(order); got != nil {
			t.Errorf("published %v, and the order waits for nothing", got)
		}
	})
	// No card is charged only to be refunded, once Config.Quiet has passed.
	t.Run("while the provider cannot be reached", func(t *testing.T) {
		t.Parallel()
		s := setup(t)
		defer s.paysim.Hold()()
		s.Work(s.module)
		order := uuid.NewString()
		s.Given(due(order, "tok_ok"))
		s.Eventually("the capture is claimed", "SELECT count(*) = 1 FROM jobs WHERE tries > 0")
		s.Given(cancelOf(order))
		s.Eventually("it was asked about again", "SELECT count(*) = 1 FROM jobs WHERE tries > 3")
		s.check(order, "cancelling", nil, nil)
		s.ahead.Store(int64(s.cfg.Quiet))
		s.settled()
		s.check(order, "cancelled", nil, nil)
	})
}

// A malformed event becomes a dead letter, whose reason does not contain the token.
func TestMalformedPaymentDueIsADeadLetter(t *testing.T) {
	t.Parallel()
	s := setup(t)
	order := uuid.NewString()
	negative, noUUID := due(order, "tok_ok"), due("order 7", "tok_ok")
	negative.Amount.Amount = -1
	for _, e := range []events.Event{negative, noUUID, due(order, ""), cancelOf("order 7")} {
		s.Publish(e)
	}
	s.Eventually("all four are dead letters", "SELECT count(*) = 4 FROM failed WHERE dead_at IS NOT NULL")
	if n := s.Count("SELECT count(*) FROM failed WHERE reason LIKE '%tok\\_%'"); n > 0 {
		t.Errorf("%d reasons name the token", n)
	}
	s.check(order, "", nil, nil)
}
