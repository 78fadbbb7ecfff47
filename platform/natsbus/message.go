package natsbus

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/events"
)

// On the broker an event is a CloudEvent in binary mode (CloudEvents 1.0, NATS protocol binding,
// section 3.1): the data is the payload, and the attributes, a message's metadata, are headers.
const (
	attributePrefix = "ce-"
	attributeID     = "id"
	attributeType   = "type"
	brokersPrefix   = "Nats-"
)

var (
	attributeName = regexp.MustCompile(`^[a-z0-9]+$`)
	quotedPair    = regexp.MustCompile(`\\(.)`)
	errNotUTF8    = errors.New("not UTF-8")
	errTwice      = errors.New("set more than once")
	errOtherTopic = errors.New("not that of its topic")
)

// encode returns the message for the broker, a new one each time, because a batch adds headers.
func (b *Bus) encode(topic string, m *message.Message) *nats.Msg {
	encoded := nats.NewMsg(b.subject(topic))
	encoded.Data = m.Payload
	for name, value := range m.Metadata {
		if name != events.MetadataReplays && attributeName.MatchString(name) { // replays is no attribute
			name, value = attributePrefix+name, percentEncode(value)
		}
		encoded.Header.Set(name, value)
	}
	encoded.Header.Set(attributePrefix+attributeID, m.UUID)
	encoded.Header.Set(jetstream.MsgIDHeader, messageID(topic, m))
	if at, err := time.Parse(time.RFC3339, m.Metadata.Get(events.MetadataExpires)); err == nil {
		encoded.Header.Set(jetstream.MsgTTLHeader, max(time.Until(at).Round(time.Second), time.Second).String())
	}
	return encoded
}

// messageID returns topic/replays/id. The broker drops a message whose id it has seen lately, even
// if it has lost or purged that message, so a replayed event needs another id. And watermill may
// publish one id to two topics.
func messageID(topic string, m *message.Message) string {
	return topic + "/" + m.Metadata.Get(events.MetadataReplays) + "/" + m.UUID
}

// decode reads what encode writes, and what others write by the binding. It refuses an attribute
// that occurs twice, because nothing says which one counts, and an event of another topic: a module
// can have the broker deliver what it listens to, with all headers, to any subject, also one to
// which it may not publish.
func decode(m jetstream.Msg, topic string) (*message.Message, error) {
	plain, attributes := message.Metadata{}, message.Metadata{}
	for name, values := range m.Headers() {
		value := m.Headers().Get(name)
		if len(name) > len(attributePrefix) && strings.EqualFold(name[:len(attributePrefix)], attributePrefix) {
			decoded, err := percentDecode(value)
			if err != nil {
				return nil, fmt.Errorf("header %s: %w", name, err)
			}
			attribute := strings.ToLower(name[len(attributePrefix):])
			if _, twice := attributes[attribute]; twice || len(values) > 1 {
				return nil, fmt.Errorf("header %s: %w", name, errTwice)
			}
			attributes[attribute] = decoded
		} else if !strings.HasPrefix(name, brokersPrefix) {
			plain.Set(name, value)
		}
	}
	decoded := message.NewMessage(attributes.Get(attributeID), m.Data()) // the consumer drops an invalid id
	decoded.Metadata = plain
	for name, value := range attributes { // which are exact, unlike the plain ones
		decoded.Metadata.Set(name, value)
	}
	if is := decoded.Metadata.Get(attributeType); is != "" && is != topic {
		return nil, fmt.Errorf("type %q: %w", is, errOtherTopic)
	}
	return decoded, nil
}

// percentEncode encodes only what a header's value may not hold (section 3.1.3.2).
func percentEncode(value string) string {
	var encoded strings.Builder
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c == '"' || c == '%' || c > '~' {
			fmt.Fprintf(&encoded, "%%%02X", c)
		} else {
			encoded.WriteByte(c)
		}
	}
	return encoded.String()
}

// percentDecode also accepts a value in quotes, as in an older version of the binding.
func percentDecode(value string) (string, error) {
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		value = quotedPair.ReplaceAllString(strings.TrimSuffix(quoted, `"`), "$1")
	}
	decoded, err := url.PathUnescape(value)
	if err == nil && !utf8.ValidString(decoded) {
		err = errNotUTF8
	}
	return decoded, err
}
