package natsbus_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
)

// One of two processes of a module is cut off from its database, and holds all the events. The
// other one has them soon.
func TestAnotherProcessHasTheEventsOfOneThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const all, connectTimeout = 40, 500 * time.Millisecond
	hole, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hole.Close() })
	cfg := s.listener.Config()
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", hole.Addr().String())
	}
	cutOff, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cutOff.Close)
	bus := open(t, s.bus)
	consumer := events.NewConsumer(cutOff, bus.Subscriber("listener"), []events.Handler{events.On(count)},
		s.events, slog.New(slog.DiscardHandler))
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, consumer.Run)
	s.tell(t)
	s.publish(t, 1, all)
	eventuallyNil(t, func() error {
		durable, err := connect(t, s.bus).Consumer(t.Context(), s.bus.Stream, "listener-teller-happened-v1")
		if err == nil && durable.CachedInfo().NumAckPending+int(durable.CachedInfo().NumRedelivered) == 0 {
			err = errors.New("it has none")
		}
		return err
	})
	began := time.Now()
	s.listen(t, count)
	eventually(t, s.listener, all, once)
	if took := time.Since(began); took > 20*connectTimeout { // one by one, each would wait for it several times
		t.Errorf("the other process had the events after %s", took.Round(time.Millisecond))
	}
	eventually(t, s.listener, 0, twice)
}
