package natsbus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/wire"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// One of two processes of a module is cut off from its database while it holds all the events. The
// other one gets them soon.
func TestAnotherProcessHasTheEventsOfOneThatIsCutOff(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const all, connectTimeout = 40, 500 * time.Millisecond
	cfg := s.subscriber.Config()
	server := wire.To(t, net.JoinHostPort(cfg.ConnConfig.Host, fmt.Sprint(cfg.ConnConfig.Port)))
	t.Cleanup(server.Freeze())
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, server.Address())
	}
	cutOff, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cutOff.Close)
	bus := open(t, s.bus)
	rarely := s.events
	rarely.Poll = time.Hour // so that its retries hardly connect
	consumer := events.NewConsumer(&postgres.DB{Pool: cutOff, Module: "subscriber"}, bus.Subscriber("subscriber"),
		[]events.Handler{events.On(count)}, rarely, slog.New(slog.DiscardHandler))
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, consumer.Run)
	s.runOutbox(t)
	s.publish(t, 1, all)
	eventuallyNil(t, func() error {
		durable, err := connect(t, s.bus).Consumer(t.Context(), s.bus.Stream, "subscriber-publisher-happened-v1")
		if err == nil && durable.CachedInfo().NumAckPending+int(durable.CachedInfo().NumRedelivered) == 0 {
			err = errors.New("it has none")
		}
		return err
	})
	s.subscribe(t, count)
	eventually(t, s.subscriber, all, once)
	if dials := server.Dials(); dials >= all { // one by one, each event would wait for several
		t.Errorf("the cut-off process tried to connect %d times until the other had %d events", dials, all)
	}
	eventually(t, s.subscriber, 0, twice)
}
