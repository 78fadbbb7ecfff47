package natsbus_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/events"
)

// attributes returns those that the outbox writes, one of them with what no header may hold.
func attributes(id string) message.Metadata {
	return message.Metadata{
		"specversion": "1.0", "id": id, "source": "/publisher", "type": topic, "subject": "50 % \"Zoë\"",
		"time": "2026-11-30T10:11:12.123456789Z", "datacontenttype": "application/json", "aggregateversion": "7",
		"correlationid": "request-7", "actor": "customer:ada",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1,b=2",
	}
}

// The CloudEvents SDK reads from the stream what the bus writes to it.
func TestAnEventOnTheBrokerIsACloudEvent(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	sent := message.NewMessage(uuid.NewString(), []byte(`{"thing":"one"}`))
	sent.Metadata = attributes(sent.UUID)
	sent.Metadata.Set(events.MetadataReplays, "0")
	publish(t, provisioned(t, cfg), sent)
	stored, err := streamOf(t, cfg).GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	event, err := binding.ToEvent(t.Context(),
		nats_jetstream.NewMessage(&nats.Msg{Header: stored.Header, Data: stored.Data}))
	if err != nil {
		t.Fatal(err)
	}
	if err := event.Validate(); err != nil {
		t.Error(err)
	}
	got := message.Metadata{
		"specversion": event.SpecVersion(), "id": event.ID(), "source": event.Source(), "type": event.Type(),
		"time": event.Time().Format(time.RFC3339Nano), "datacontenttype": event.DataContentType(),
	}
	for name, value := range event.Extensions() {
		got[name], _ = value.(string)
	}
	want := attributes(sent.UUID)
	delete(want, "subject")
	if !maps.Equal(got, want) {
		t.Errorf("the attributes are %v, want %v", got, want)
	}
	if event.Subject() != "50%20%25%20%22Zo%C3%AB%22" { // this SDK does not decode
		t.Errorf("the subject is %s", event.Subject())
	}
	var data happened
	if err := event.DataAs(&data); err != nil || data.Thing != "one" {
		t.Errorf("the data is %v, %v", data, err)
	}
}

// The bus reads an event as it was published, by this release, the last one, or another client.
func TestHowAnEventIsRead(t *testing.T) {
	t.Parallel()
	id := uuid.NewString()
	bound := func(headers map[string]string) nats.Header {
		h := nats.Header{}
		for name, value := range headers {
			h.Set("ce-"+name, strings.NewReplacer("%", "%25", " ", "%20", `"`, "%22", "ë", "%c3%ab").Replace(value))
		}
		return h
	}
	for name, headers := range map[string]nats.Header{
		"by the binding": bound(attributes(id)),
		"by the binding, with another spelling": func() nats.Header {
			h := nats.Header{}
			for name, values := range bound(attributes(strings.ToUpper(id))) {
				h["CE-"+strings.ToUpper(strings.TrimPrefix(name, "ce-"))] = values
			}
			h.Set("CE-SUBJECT", `"50 %25 \"Zoë\""`)
			return h
		}(),
		"by release v0.1.0": func() nats.Header {
			h := nats.Header{jetstream.MsgIDHeader: {topic + "/0/" + id}, "replays": {"0"}}
			for name, value := range attributes(id) {
				h.Set(name, value)
			}
			return h
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := newConfig(t, "")
			messages := subscribe(t, provisioned(t, cfg))
			data, _ := json.Marshal(happened{"one"})
			written := &nats.Msg{Subject: cfg.Stream + "." + topic, Header: headers, Data: data}
			if _, err := connect(t, cfg).PublishMsg(t.Context(), written); err != nil {
				t.Fatal(err)
			}
			m := receive(t, messages, message.NewMessage(id, data))
			m.Ack()
			for name, want := range attributes(id) {
				if got := m.Metadata.Get(name); got != want && !strings.EqualFold(got, id) {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}

// An attribute with two values is refused: nothing says which one counts.
func TestAnAttributeIsThereOnce(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	messages := subscribe(t, provisioned(t, cfg))
	id, good := uuid.NewString(), uuid.NewString()
	for _, headers := range []nats.Header{
		{"ce-id": {id}, "Ce-Id": {uuid.NewString()}},
		{"ce-id": {id, uuid.NewString()}},
		{"ce-id": {id}, "ce-actor": {"customer:ada"}, "CE-Actor": {"staff:eve"}},
		{"ce-id": {good}, "actor": {"customer:ada"}, "ce-actor": {"customer:ada"}}, // as the bus writes it
	} {
		written := &nats.Msg{Subject: cfg.Stream + "." + topic, Header: headers, Data: []byte("{}")}
		if _, err := connect(t, cfg).PublishMsg(t.Context(), written); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, messages, message.NewMessage(good, []byte("{}"))).Ack()
}

// A process of release v0.1.0 reads the attributes by their names without the prefix.
func TestTheReleaseBeforeReadsWhatIsWritten(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	sent := message.NewMessage(uuid.NewString(), []byte(`{}`))
	sent.Metadata = attributes(sent.UUID)
	publish(t, provisioned(t, cfg), sent)
	stored, err := streamOf(t, cfg).GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range attributes(sent.UUID) {
		if got := stored.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got, want := stored.Header.Get(jetstream.MsgIDHeader), topic+"//"+sent.UUID; got != want {
		t.Errorf("the message's id is %s, want %s", got, want)
	}
}
