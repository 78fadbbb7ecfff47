package events_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
)

// A handler may publish anything but another event of its own topic, and so may a job that it has
// enqueued: such a module would answer itself for ever.
func TestAnEventDoesNotFollowFromItsOwnTopic(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	outbox := events.NewOutbox(s.Subscriber, s.bus, s.Config, s.Log)
	var said []string
	publish := func(ctx context.Context, from string) {
		err := s.Subscriber.InTx(ctx, func(tx pgx.Tx) error { return outbox.PublishTx(ctx, tx, answered{}) })
		if err != nil && !strings.Contains(err.Error(), "follows from an event of the same topic") {
			t.Error(err)
		} else if err != nil {
			said = append(said, from)
		}
	}
	deliver, _ := s.gated(
		events.OnBatch(func(ctx context.Context, _ pgx.Tx, batch []events.Delivery[answered]) error {
			publish(ctx, "a batch")
			publish(events.WithCause(ctx, batch[0].Cause), "an event of it")
			job := events.CauseOf(events.WithCause(ctx, batch[0].Cause))
			publish(events.WithCause(t.Context(), job), "a job")
			return nil
		}),
		events.On(func(ctx context.Context, _ pgx.Tx, _ other) error {
			publish(ctx, "another event")
			return nil
		}))
	deliver(messageOf(answered{happened{Thing: "1"}}, "", nil), messageOf(answered{happened{Thing: "2"}}, "", nil),
		messageOf(other{happened{Thing: "3"}}, "", nil))
	if diff := cmp.Diff([]string{"a batch", "an event of it", "a job"}, said); diff != "" {
		t.Error(diff)
	}
	s.Expect(s.Subscriber, 0, "SELECT count(*) FROM outbox WHERE headers ? 'follows'")
}
