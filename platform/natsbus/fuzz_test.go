package natsbus_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
)

// FuzzEnvelope publishes a message twice, as a replay does. It is handled once, or kept once as a
// dead letter with its reason, or dropped and logged; and a later message is handled.
func FuzzEnvelope(f *testing.F) {
	const thing = `{"thing":"a"}`
	for _, seed := range []struct{ id, headers, payload string }{
		{"<id>", "type: another\nid: x\nactor: customer:ann\n" +
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", thing},
		{"", "", thing},
		{"<id>/", "", thing},
		{"no-id", "", ""},
		{"<id>", "", "{"},
		{"<id>", "Replays: 9", "null"},
		{"<id>", "a: \xff\nb: ü", `{"thing":1}`},
		{"<id>", "a: b\r", `{"thing":"a\u0000b"}`},
		{"<id>", "actor: " + strings.Repeat("a", 8000), `{"thing":"poison"}`},
		{"<id>", "", "[" + strings.Repeat("[", 20000)},
		{"00000000-0000-0000-0000-000000000000", "", `{"THING":"a","thing":"b"}`},
	} {
		f.Add(seed.id, seed.headers, []byte(seed.payload))
	}
	s := eventtest.New(f, eventtest.Schema)
	s.Config.Poll, s.Config.MaxAttempts = time.Hour, 1
	cfg := newConfig(f, "")
	cfg.AckWait = time.Minute
	var dropped droppings
	s.Log = slog.New(slog.NewTextHandler(&dropped, nil))
	bus, err := natsbus.Open(cfg.Config, "subscriber", "", s.Log)
	must(f, err)
	f.Cleanup(func() { bus.Close() })
	must(f, bus.Provision(f.Context(), cfg.Keeping, listeners))
	s.Consume(events.NewConsumer(s.Subscriber, bus, []events.Handler{events.On(
		func(ctx context.Context, tx pgx.Tx, h eventtest.Happened) error {
			if h.Thing == "poison" {
				return errors.New("poison")
			}
			return eventtest.Count(ctx, tx, h)
		})}, s.Config, s.Log))
	stream := streamOf(f, cfg)
	js := connect(f, cfg)
	last := uint64(0) // message that was published
	settled := func(t *testing.T) {
		t.Helper()
		pgtest.Until(t, "every message is acknowledged or terminated", func() bool {
			consumer, err := stream.Consumer(t.Context(), durable)
			must(t, err)
			info := consumer.CachedInfo()
			return info.Delivered.Stream >= last && info.NumPending == 0 && info.NumAckPending == 0
		})
	}
	f.Fuzz(func(t *testing.T, id, headers string, payload []byte) {
		fresh := strings.NewReplacer("<id>", uuid.NewString(), "<ID>", strings.ToUpper(uuid.NewString()))
		id, headers = fresh.Replace(id), fresh.Replace(headers)
		settled(t) // a run that ended early leaves a message
		dropped.lines.Store(0)
		must(t, stream.Purge(t.Context()))
		_, err := s.Subscriber.Exec(t.Context(),
			"WITH a AS (DELETE FROM inbox), b AS (DELETE FROM failed) DELETE FROM effects")
		must(t, err)
		for _, replay := range []string{"0", "1"} {
			m := nats.NewMsg(cfg.Stream + "." + topic)
			m.Data = payload
			for line := range strings.SplitSeq(headers, "\n") {
				// The broker's own headers are no attributes.
				name, value, ok := strings.Cut(line, ": ")
				if ok && !strings.HasPrefix(strings.ToLower(name), "nats-") {
					m.Header.Set(name, value)
				}
			}
			m.Header.Set(jetstream.MsgIDHeader, topic+"/"+replay+"/"+id)
			ack, err := js.PublishMsg(t.Context(), m)
			if err != nil || ack.Duplicate {
				return // the broker refuses it, or has it from an earlier run
			}
			last = ack.Sequence
		}
		settled(t)
		handled := pgtest.Count(t, s.Subscriber, "SELECT coalesce(sum(times), 0) FROM effects")
		dead := pgtest.Count(t, s.Subscriber, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL AND reason <> ''")
		n := dropped.lines.Load()
		if once := handled+dead == 1 && n == 0; !once && (handled+dead != 0 || n != 2) {
			t.Errorf("id %q with %q and %q, published twice: %d handled, %d dead letters, %d dropped",
				id, headers, payload, handled, dead, n)
		}
	})
}

// droppings counts log lines about dropped messages.
type droppings struct{ lines atomic.Int64 }

func (d *droppings) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "dropped a message") {
		d.lines.Add(1)
	}
	return len(line), nil
}
