package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Names of CloudEvents attributes that several files read. Watermill's metadata has the same names.
const (
	headerTopic = "type"
	headerKey   = "subject" // the aggregate's id
)

// MetadataExpires is the metadata that says when the event expires, if it does (CloudEvents' extension
// expirytime): in UTC and to the second, so that two of them compare as texts.
const MetadataExpires = "expirytime"

// messageOf returns the message that is published for the event, with the cause of ctx.
func (o *Outbox) messageOf(ctx context.Context, ev Event) (*message.Message, error) {
	if owner, _, _ := strings.Cut(ev.Topic(), "."); owner != o.db.Module {
		return nil, fmt.Errorf("the topic belongs to %s, not to %s", owner, o.db.Module)
	}
	if o.allowed != nil && !o.allowed[ev.Topic()] {
		return nil, fmt.Errorf("it is none of the events that Publishes of %s returns", o.db.Module)
	}
	cause := CauseOf(ctx)
	if cause[headerFollows] == ev.Topic() {
		return nil, errors.New("it follows from an event of the same topic, and so would never end")
	}
	delete(cause, headerFollows)
	perishes, expires := ev.(perishable)
	if expires {
		ev = perishes.Event
	}
	payload, err := json.Marshal(ev)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes of at most %d", errTooLarge, len(payload), maxPayload)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	m := message.NewMessage(id.String(), payload)
	m.Metadata = message.Metadata(cause)
	if m.Metadata[headerCorrelation] == "" {
		m.Metadata[headerCorrelation] = m.UUID
	}
	key, version := ev.Aggregate()
	maps.Copy(m.Metadata, message.Metadata{
		"specversion": "1.0", "id": m.UUID, "source": "/" + o.db.Module, headerTopic: ev.Topic(), headerKey: key,
		"time": time.Now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
		"aggregateversion": strconv.FormatInt(version, 10),
	})
	if expires {
		m.Metadata[MetadataExpires] = perishes.expires.UTC().Format(time.RFC3339)
	}
	return m, nil
}

// scanMessage reads a row of the outbox, which may have been written by hand. Headers that cannot
// be read are left out, because an error would end every poll, and stop the module's publishing.
func scanMessage(row pgx.CollectableRow) (*message.Message, error) {
	var id, topic string
	var payload, headers json.RawMessage
	var replays int
	if err := row.Scan(&id, &topic, &payload, &headers, &replays); err != nil {
		return nil, err
	}
	m := message.NewMessage(id, message.Payload(payload))
	var values map[string]json.RawMessage
	_ = json.Unmarshal(headers, &values)
	for name, value := range values {
		var text *string
		if json.Unmarshal(value, &text) != nil { // not a string, so as JSON
			m.Metadata[name] = string(value)
		} else if text != nil {
			m.Metadata[name] = *text
		}
	}
	m.Metadata[headerTopic] = topic
	m.Metadata[MetadataReplays] = strconv.Itoa(replays)
	return m, nil
}
