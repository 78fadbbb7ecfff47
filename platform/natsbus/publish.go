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

// publishAtOnce is how many messages wait for their acknowledgement side by side when they are published one by one.
const publishAtOnce = 64

// Publish returns nil once the broker has every message on its disk. An error means that it may lack some: publish them again.
//
// Several messages travel as one atomic batch, which costs the broker one fsync instead of one for each. When it refuses the batch they
// are published one by one. That is the way out whatever the reason is: a broker before 2.12, a batch that is too large, too many
// batches at once, and above all a message that it has already, because an acknowledgement was lost. In a batch that one would fail all
// the others for as long as the broker remembers it; alone it is acknowledged as a duplicate.
func (b *Bus) Publish(topic string, messages ...*message.Message) error {
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.PublishTimeout)
	defer cancel()
	err := b.Check(ctx)
	if err == nil && len(messages) > 1 {
		err = b.publishBatch(ctx, topic, messages)
	}
	if err == nil && len(messages) == 1 || errors.Is(err, errRefused) {
		err = b.publishEach(ctx, topic, messages)
	}
	if err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

// Headers of an atomic batch (NATS architecture decision record 50). The client has no call for it.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// errRefused says that the broker took nothing of a batch, or not as a batch.
var errRefused = errors.New("the broker refused the batch")

// publishBatch sends all messages and waits for one answer, to the last, which commits them.
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
	if ack.Count != len(messages) { // an older broker knows no batches and answers for the last message alone
		return errRefused
	}
	return nil
}

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

// explain says what the client's words mean here.
func explain(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		return fmt.Errorf("the broker has no stream of that name, or no JetStream: %w", err)
	}
	return err
}
