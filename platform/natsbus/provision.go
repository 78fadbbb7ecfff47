package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// dedupeWindow is how long the broker drops repeated message ids. It saves duplicates when a relay
// died between publishing and marking; nothing depends on it.
const dedupeWindow = 2 * time.Minute

// Keeping says how the broker keeps messages and delivers them. It concerns the command that
// provisions the broker, and no process.
type Keeping struct {
	// How many brokers of a cluster keep each message.
	Replicas int `env:"NATS_REPLICAS" envDefault:"1"`
	// How long the stream keeps a message, acknowledged or not. As long as the outbox does: a
	// module that is down for longer misses events, which a replay could not publish again either.
	MaxAge time.Duration `env:"NATS_MAX_AGE" envDefault:"168h"`
	// After how long the broker redelivers the messages of a process that was killed, and those
	// whose acknowledgement was lost. A process extends it while it works. Much below a second,
	// messages would be redelivered on their way.
	AckWait time.Duration `env:"NATS_ACK_WAIT" envDefault:"10s" min:"100ms"`
	// How many unacknowledged messages of a topic a module's processes hold in total; some batches.
	MaxAckPending int `env:"NATS_MAX_ACK_PENDING" envDefault:"256"`
}

// Validate refuses what the broker would refuse.
func (k Keeping) Validate() error {
	if k.Replicas > 5 {
		return errors.New("NATS_REPLICAS must be from 1 to 5")
	}
	return nil
}

// Provision creates the stream, and for each module and topic in listeners the durable that keeps
// the module's position, or updates their settings. It may run at any time and be repeated: a
// position is never lost or moved. A process that runs takes over other settings when it restarts.
//
// There is one durable per module and topic, not one per module: during a canary two versions of a
// module share its durables, and neither gets a topic that it does not know.
func (b *Bus) Provision(ctx context.Context, keep Keeping, listeners map[string][]string) error {
	if err := b.Check(ctx); err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	_, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        b.cfg.Stream,
		Description: "Events of the modules; the outboxes can fill it again.",
		Subjects:    []string{b.cfg.Stream + ".>"},
		Storage:     jetstream.FileStorage,
		Replicas:    keep.Replicas,
		// JetStream's other policies drop what no durable waits for: a late one would miss it.
		Retention:          jetstream.LimitsPolicy,
		MaxAge:             keep.MaxAge,
		Duplicates:         min(dedupeWindow, keep.MaxAge),
		AllowAtomicPublish: true,
		AllowMsgTTL:        true, // of events that expire
	})
	if err != nil {
		return fmt.Errorf("provision stream %s: %w", b.cfg.Stream, err)
	}
	for module, topics := range listeners {
		for _, topic := range topics {
			if _, err := b.js.CreateOrUpdateConsumer(ctx, b.cfg.Stream, b.durable(keep, module, topic)); err != nil {
				return fmt.Errorf("provision durable %s: %w", durableName(module, topic), err)
			}
		}
	}
	return nil
}

// Durables returns the names of the durables on the broker, of each module that has any.
func (b *Bus) Durables(ctx context.Context) (map[string][]string, error) {
	durables := map[string][]string{}
	stream, err := b.js.Stream(ctx, b.cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return durables, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list durables: %w", err)
	}
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		module, _, _ := strings.Cut(name, "-")
		durables[module] = append(durables[module], name)
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list durables: %w", err)
	}
	return durables, nil
}

func (b *Bus) durable(keep Keeping, module, topic string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       durableName(module, topic),
		FilterSubject: b.subject(topic),
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       keep.AckWait,
		MaxAckPending: keep.MaxAckPending,
		// Unlimited. JetStream would drop a message silently; the consumer keeps dead letters.
		MaxDeliver: -1,
	}
}

func (b *Bus) subject(topic string) string { return b.cfg.Stream + "." + topic }

// durableName returns lamps-parcels-sent-v1: a durable's name may hold no dots.
func durableName(module, topic string) string {
	return module + "-" + strings.ReplaceAll(topic, ".", "-")
}
