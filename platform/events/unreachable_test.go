package events_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
)

// cutOff returns a pool of the listener's that reaches a network which swallows everything, until
// heal is called.
func (s *shop) cutOff(t *testing.T, connectTimeout time.Duration) (pool *pgxpool.Pool, heal func()) {
	t.Helper()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and never says a word
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hole.Close() })
	var healed atomic.Bool
	cfg := s.listener.Config()
	cfg.ConnConfig.ConnectTimeout = connectTimeout
	dial := cfg.ConnConfig.DialFunc
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if healed.Load() {
			return dial(ctx, network, address)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", hole.Addr().String())
	}
	pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, func() { healed.Store(true) }
}

// watchedBus tells when a subscriber has taken a message and when it has given one back.
type watchedBus struct {
	*flakyBus
	taken     chan struct{}
	givenBack chan time.Time
}

func watch(bus *flakyBus) watchedBus {
	return watchedBus{flakyBus: bus, taken: make(chan struct{}, 10000), givenBack: make(chan time.Time, 10000)}
}

func (b watchedBus) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	messages, err := b.flakyBus.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range messages {
			out <- m
			b.taken <- struct{}{}
			go func() {
				select {
				case <-m.Acked():
				case <-m.Nacked():
					b.givenBack <- time.Now()
				}
			}()
		}
	}()
	return out, nil
}

// A consumer that waited for each event would hold a batch for minutes, and no other process could
// have it.
func TestWhoCannotApplyABatchGivesAllOfItBackAtOnce(t *testing.T) {
	t.Parallel()
	const all, wait = 20, 500 * time.Millisecond
	for name, obstruct := range map[string]func(t *testing.T, s *shop) (pool *pgxpool.Pool, heal func()){
		"the database cannot be reached": func(t *testing.T, s *shop) (*pgxpool.Pool, func()) { return s.cutOff(t, wait) },
		"another process has the turn":   func(t *testing.T, s *shop) (*pgxpool.Pool, func()) { return s.takeTurn(t, wait) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			pool, heal := obstruct(t, s)
			bus := watch(s.bus)
			s.runConsumer(t, events.NewConsumer(pool, bus, []events.Handler{events.On(count)}, s.cfg, s.log))
			batch := make([]*message.Message, all)
			for i := range batch {
				batch[i] = message.NewMessage(uuid.NewString(), fmt.Appendf(nil, `{"thing":"%d"}`, i))
			}
			if err := bus.Publish(happened{}.Topic(), batch...); err == nil {
				t.Error("the bus believes that they are handled")
			}
			first := <-bus.givenBack
			last := first
			for range all - 1 {
				last = <-bus.givenBack
			}
			if took := last.Sub(first); took > 3*wait { // the first may have come alone, and the others after it
				t.Errorf("the last of %d events is given back %s after the first", all, took.Round(time.Millisecond))
			}
			heal()
			for bus.Publish(happened{}.Topic(), batch...) != nil { // as a relay does
				time.Sleep(20 * time.Millisecond)
			}
			expect(t, s.listener, all, "SELECT count(*) FROM effects WHERE times = 1")
			expect(t, s.listener, 0, "SELECT count(*) FROM failed")
		})
	}
}

// takeTurn returns a pool of the listener's that waits for locks for that long, and has another
// process keep the turn until heal.
func (s *shop) takeTurn(t *testing.T, lockTimeout time.Duration) (pool *pgxpool.Pool, heal func()) {
	t.Helper()
	other, err := s.listener.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const turn = "(hashtextextended('seam.consumer.' || current_schema(), 0))"
	if _, err := other.Exec(t.Context(), "SELECT pg_advisory_lock"+turn); err != nil {
		t.Fatal(err)
	}
	cfg := s.listener.Config()
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = fmt.Sprint(lockTimeout.Milliseconds())
	pool, err = pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool, func() {
		defer other.Release()
		if _, err := other.Exec(t.Context(), "SELECT pg_advisory_unlock"+turn); err != nil {
			t.Error(err)
		}
	}
}
