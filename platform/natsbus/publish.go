package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// publishAtOnce bounds how many single messages wait for their acknowledgements concurrently.
const publishAtOnce = 64

// Publish returns nil once the broker has all messages on disk. On an error publish them all again.
func (b *Bus) Publish(topic string, messages ...*message.Message) error {
	ctx, done := b.answerable()
	defer done()
	err := b.Check(ctx)
	if err == nil {
		err = b.publish(ctx, topic, messages)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

var (
	errLost     = errors.New("lost the connection before the broker answered")
	errNoAnswer = errors.New("the broker does not answer in time")
)

// answerable returns a context that ends with the connection, or after PublishTimeout.
func (b *Bus) answerable() (context.Context, context.CancelFunc) {
	ctx, stop := context.WithTimeoutCause(context.Background(), b.cfg.PublishTimeout, errNoAnswer)
	ctx, cancel := context.WithCancelCause(ctx)
	lost := b.conn.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	go func() {
		defer b.conn.RemoveStatusListener(lost)
		select {
		case <-lost:
			cancel(errLost)
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}

// batchFrom is the number of messages from which a batch is faster than single messages: a broker
// on a small machine takes 3,000 single messages a second, with a sync for each, 16,000 in batches
// of 200, and 30,000 in batches of 1,000.
const batchFrom = 16

// publish uses an atomic batch only because it is fast. When the broker refuses one, the messages
// are published one by one: the broker is older than 2.12, the batch is too large, too many are
// under way, or it has one of the messages already, after a lost acknowledgement. That one would
// fail the batch for as long as the broker remembers it; alone it is acknowledged as a duplicate.
func (b *Bus) publish(ctx context.Context, topic string, messages []*message.Message) error {
	if len(messages) >= batchFrom {
		if err := b.publishBatch(ctx, topic, messages); !errors.Is(err, errRefused) {
			return err
		}
	}
	return b.publishEach(ctx, topic, messages)
}

// Headers of an atomic batch (NATS ADR-50), which the client does not implement.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// errRefused means that the broker stored nothing of a batch, or not as a batch.
var errRefused = errors.New("the broker refused the batch")

// publishBatch sends all messages and waits for the answer to the last, which commits them.
func (b *Bus) publishBatch(ctx context.Context, topic string, messages []*message.Message) error {
	id := uuid.NewString()
	var answer *nats.Msg
	for i, m := range messages {
		encoded := b.encode(topic, m)
		encoded.Header.Set(headerBatchID, id)
		encoded.Header.Set(headerBatchSequence, strconv.Itoa(i+1))
		if i < len(messages)-1 {
			if err := b.conn.PublishMsg(encoded); err != nil {
				return err
			}
			continue
		}
		encoded.Header.Set(headerBatchCommit, "1")
		var err error
		if answer, err = b.conn.RequestMsgWithContext(ctx, encoded); err != nil {
			return explain(err)
		}
	}
	var ack struct {
		Count int                 `json:"count"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	if ack.Error != nil {
		return fmt.Errorf("%w: %w", errRefused, ack.Error)
	}
	if ack.Count != len(messages) { // an older broker acknowledges only the last message
		return errRefused
	}
	return nil
}

// publishEach fails as a whole: the relay publishes all again, and the broker drops duplicates.
func (b *Bus) publishEach(ctx context.Context, topic string, messages []*message.Message) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(publishAtOnce)
	for _, m := range messages {
		group.Go(func() error {
			_, err := b.js.PublishMsg(ctx, b.encode(topic, m))
			return explain(err)
		})
	}
	return group.Wait()
}

// expiryDisabled is the error of a stream that takes no event which expires.
const expiryDisabled jetstream.ErrorCode = 10166

// explain adds what the client's error means here.
func explain(err error) error {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == expiryDisabled {
		return fmt.Errorf("the stream is of an earlier release: run seam events provision: %w", err)
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("the broker has no stream of that name, or no JetStream: %w", err)
	}
	return err
}
