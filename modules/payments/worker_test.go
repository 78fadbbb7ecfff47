package payments

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"example.com/shop/platform/events"
)

// A process dies between the call and its commit. The next one looks up the key before it calls;
// and if the first was frozen and not dead, its result changes nothing.
func TestCrashBetweenCallAndCommit(t *testing.T) {
	t.Parallel()
	s := setup(t)
	called, thaw := make(chan struct{}), make(chan struct{})
	frozen := s.process(seen{provider: s.module.provider, capture: func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
		a, err := s.module.provider.Capture(ctx, key, token, m)
		close(called)
		<-thaw
		return a, err
	}})
	stop := s.Work(frozen)
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	<-called

	survivor := s.process(seen{provider: s.module.provider, capture: func(context.Context, uuid.UUID, string, money) (answer, error) {
		t.Error("called again without a look-up")
		return answer{}, errUnderWay
	}})
	s.Work(survivor)
	s.ahead.Store(int64(s.cfg.Lease))
	s.settled()
	s.check(order, "captured", []string{wasCaptured}, []string{"capture approved"})

	close(thaw)
	stop() // after the late result was refused
	s.settled()
	s.check(order, "captured", []string{wasCaptured}, []string{"capture approved"})
}

// The same, and the order is cancelled while the outcome is unknown.
func TestCrashThenCancel(t *testing.T) {
	t.Parallel()
	s := setup(t)
	called, thaw := make(chan struct{}), make(chan struct{})
	frozen := s.process(seen{provider: s.module.provider, capture: func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
		a, err := s.module.provider.Capture(ctx, key, token, m)
		close(called)
		<-thaw
		return a, err
	}})
	stop := s.Work(frozen)
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	<-called
	s.Given(cancelOf(order))
	s.Work(s.module)
	s.ahead.Store(int64(s.cfg.Lease))
	s.settled()
	close(thaw)
	stop()
	s.settled()
	s.check(order, "refunded", []string{wasRefunded}, []string{"capture approved", "refund approved"})
}

func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	s := setup(t)
	const orders = 60
	var dues []events.Event
	for range orders {
		dues = append(dues, due(uuid.NewString(), "tok_ok"))
	}
	s.Given(dues...)
	patient := s.cfg
	patient.CallTimeout = time.Minute
	once := seen{provider: newHTTPProvider(patient), lookup: func(context.Context, uuid.UUID) (answer, error) {
		t.Error("a capture was claimed twice")
		return answer{}, errUnderWay
	}}
	s.Work(s.process(once))
	s.Work(s.process(once))
	s.settled()
	captures := map[string]int{}
	for _, e := range s.paysim.Ledger("") {
		captures[e.Key]++
	}
	if len(captures) != orders || len(s.ledger()) != orders {
		t.Errorf("%d keys and %d captures for %d orders", len(captures), len(s.ledger()), orders)
	}
	for _, e := range dues {
		order, _ := e.Aggregate()
		if diff := cmp.Diff([]string{wasCaptured}, s.Published(order)); diff != "" {
			t.Errorf("order %s: %s", order, diff)
		}
	}
}

// All places but one are taken by calls that hang; later jobs go through the one that is left. Then
// the process stops: the calls under way finish and their results are kept.
func TestSlowCallsDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	s := setup(t)
	stuck, release := make(chan struct{}, s.cfg.Concurrency), make(chan struct{})
	m := s.process(seen{provider: s.module.provider, capture: func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
		if token == "tok_slow" {
			stuck <- struct{}{}
			<-release
			token = "tok_ok"
		}
		return s.module.provider.Capture(ctx, key, token, m)
	}})
	stop := s.Work(m)
	for range s.cfg.Concurrency - 1 {
		s.Given(due(uuid.NewString(), "tok_slow"))
		<-stuck
	}
	for range 5 {
		s.Given(due(uuid.NewString(), "tok_ok"))
	}
	s.Eventually("the quick ones are captured", "SELECT count(*) = 5 FROM payments WHERE status = 'captured'")

	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	close(release)
	<-stopped
	if n := s.Count("SELECT count(*) FROM jobs"); n > 0 {
		t.Errorf("%d results were thrown away", n)
	}
}

// A refused refund is retried: the money is owed.
func TestRefundRefused(t *testing.T) {
	t.Parallel()
	s := setup(t)
	refusals := 2
	no := answer{outcome: refused, reason: "not_today"}
	s.Work(s.process(seen{
		provider: s.module.provider,
		lookup:   func(context.Context, uuid.UUID) (answer, error) { return answer{}, errNoRecord },
		refund: func(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error) {
			if refusals > 0 {
				refusals--
				return no, nil
			}
			return s.module.provider.Refund(ctx, key, reference, m)
		},
	}))
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	s.settled()
	s.Given(cancelOf(order))
	s.settled()
	s.check(order, "refunded", []string{wasCaptured, wasRefunded}, []string{"capture approved", "refund approved"})
}

// A refund whose answer is lost is looked up, not made again.
func TestRefundAnswerLost(t *testing.T) {
	t.Parallel()
	s := setup(t)
	s.Work(s.process(seen{provider: s.module.provider, refund: func(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error) {
		if _, err := s.module.provider.Refund(ctx, key, reference, m); err != nil {
			return answer{}, err
		}
		return answer{}, context.DeadlineExceeded
	}}))
	order := uuid.NewString()
	s.Given(due(order, "tok_ok"))
	s.settled()
	s.Given(cancelOf(order))
	s.settled()
	s.check(order, "refunded", []string{wasCaptured, wasRefunded}, []string{"capture approved", "refund approved"})
}

// A process begins its own jobs at once: it polls for those of others.
func TestNothingWaitsForThePoll(t *testing.T) {
	t.Parallel()
	s := setupPolling(t, time.Hour)
	called, release := make(chan struct{}), make(chan struct{})
	theirs := s.module.provider
	s.module.provider = seen{
		provider: theirs,
		capture: func(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
			if token == "tok_slow" {
				close(called)
				<-release
				token = "tok_ok"
			}
			return theirs.Capture(ctx, key, token, m)
		},
	}
	s.Work(s.module)
	order := uuid.NewString()
	s.Given(due(order, "tok_flaky"))
	for range 3 * s.cfg.Concurrency { // more than there are places
		s.Given(due(uuid.NewString(), "tok_declined"))
	}
	s.settled()
	s.Given(cancelOf(order))
	s.settled()
	if diff := cmp.Diff([]string{wasCaptured, wasRefunded}, s.Published(order)); diff != "" {
		t.Error(diff)
	}

	// A refund that only the result of the capture calls for.
	order = uuid.NewString()
	s.Given(due(order, "tok_slow"))
	<-called
	s.Given(cancelOf(order))
	close(release)
	s.settled()
	if diff := cmp.Diff([]string{wasRefunded}, s.Published(order)); diff != "" {
		t.Error(diff)
	}
}
