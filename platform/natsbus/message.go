package natsbus

import (
	"fmt"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/events"
)

// encode makes headers of the metadata. It makes a new message each time, because a batch adds headers of its own.
func (b *Bus) encode(topic string, m *message.Message) *nats.Msg {
	encoded := nats.NewMsg(b.subject(topic))
	encoded.Data = m.Payload
	for name, value := range m.Metadata {
		encoded.Header.Set(name, value)
	}
	encoded.Header.Set(jetstream.MsgIDHeader, messageID(topic, m))
	return encoded
}

// messageID is topic/replays/id. The broker drops a message whose id it has seen lately, also when it has lost or purged that message;
// so an event that is told again on purpose is a new message to it. And to watermill the same id on two topics is two messages.
func messageID(topic string, m *message.Message) string {
	return topic + "/" + m.Metadata.Get(events.MetadataReplays) + "/" + m.UUID
}

// decode refuses what nobody could remember having handled.
func decode(m jetstream.Msg) (*message.Message, error) {
	messageID := m.Headers().Get(jetstream.MsgIDHeader)
	id := messageID[strings.LastIndex(messageID, "/")+1:]
	if err := uuid.Validate(id); err != nil {
		return nil, fmt.Errorf("message id %q: %w", messageID, err)
	}
	decoded := message.NewMessage(id, m.Data())
	for name := range m.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // those are the broker's
			decoded.Metadata.Set(name, m.Headers().Get(name))
		}
	}
	return decoded, nil
}
