package events

import (
	"cmp"
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

// MetadataExpires is the metadata that says when the event expires, if it does (CloudEvents'
// extension expirytime): in UTC and to the second, so that two of them compare as texts.
const MetadataExpires = "expirytime"

// maxPayload bounds an event's JSON, in bytes. It leaves room in the 1 MiB that a broker takes by
// default, for headers and for PostgreSQL's way of writing JSON, which is longer. An event that the
// bus always refuses would hold up its topic, so it is refused before it is written.
const maxPayload = 512 << 10

var errTooLarge = errors.New("the event is larger than a bus takes")

// perishable is what Until returns.
type perishable struct {
	Event
	expires time.Time
}

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
	key, version := ev.Aggregate()
	m.Metadata = attributes(o.db.Module, id, ev.Topic(), key)
	maps.Copy(m.Metadata, message.Metadata(cause))
	m.Metadata[headerCorrelation] = cmp.Or(m.Metadata[headerCorrelation], m.UUID)
	m.Metadata["aggregateversion"] = strconv.FormatInt(version, 10)
	if expires {
		m.Metadata[MetadataExpires] = perishes.expires.UTC().Format(time.RFC3339)
	}
	return m, nil
}

// inColumns are the names of attributes that a row's headers need not repeat: attributes sets them.
var inColumns = []string{"specversion", "id", "source", headerTopic, headerKey, "time", "datacontenttype"}

// attributes returns the attributes of an event that its row in the outbox says without its
// headers. The time is that of its id, in milliseconds (UUIDv7, RFC 9562).
func attributes(module string, id uuid.UUID, topic, key string) message.Metadata {
	known := message.Metadata{
		"specversion": "1.0", "id": id.String(), "source": "/" + module, headerTopic: topic, headerKey: key,
		"datacontenttype": "application/json",
	}
	if id.Version() == 7 {
		known["time"] = time.Unix(id.Time().UnixTime()).UTC().Format(time.RFC3339Nano)
	}
	return known
}

// scanMessage reads a row of the outbox, which may have been written by hand. Headers that cannot
// be read are left out, because an error would end every poll, and stop the module's publishing.
func (o *Outbox) scanMessage(row pgx.CollectableRow) (*message.Message, error) {
	var id uuid.UUID
	var topic, key string
	var payload, headers json.RawMessage
	var replays int
	if err := row.Scan(&id, &topic, &key, &payload, &headers, &replays); err != nil {
		return nil, err
	}
	m := message.NewMessage(id.String(), message.Payload(payload))
	m.Metadata = attributes(o.db.Module, id, topic, key)
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
