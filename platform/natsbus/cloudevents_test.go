package natsbus_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/devkit/pgtest"
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
	sent := newMessages(1)[0]
	sent.Metadata = attributes(sent.UUID)
	sent.Metadata.Set(events.MetadataReplays, "1")
	publish(t, provisioned(t, cfg), sent)
	stored, err := streamOf(t, cfg).GetMsg(t.Context(), 1)
	must(t, err)
	if got, want := stored.Header.Get(jetstream.MsgIDHeader), topic+"/1/"+sent.UUID; got != want {
		t.Errorf("the message's id is %s, want %s", got, want)
	}
	event, err := binding.ToEvent(t.Context(),
		nats_jetstream.NewMessage(&nats.Msg{Header: stored.Header, Data: stored.Data}))
	must(t, err)
	must(t, event.Validate())
	got := message.Metadata{
		"specversion": event.SpecVersion(), "id": event.ID(), "source": event.Source(), "type": event.Type(),
		"time": event.Time().Format(time.RFC3339Nano), "datacontenttype": event.DataContentType(),
		"subject": event.Subject(), "data": string(event.Data()),
	}
	for name, value := range event.Extensions() {
		got[name], _ = value.(string)
	}
	want := attributes(sent.UUID)
	want["subject"] = "50%20%25%20%22Zo%C3%AB%22" // this SDK does not decode
	want["data"] = `{"thing":"0"}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The bus reads an event as it was published, by this release, the last one, or another client. A
// message of another topic, or with an attribute that occurs twice or cannot be decoded, is dropped
// and holds up no other.
func TestHowAnEventIsRead(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t, "")
	messages := subscribe(t, provisioned(t, cfg))
	id := uuid.NewString()
	bound, spelled := nats.Header{}, nats.Header{"CE-SUBJECT": {`"50 %25 \"Zoë\""`}}
	for name, value := range attributes(id) {
		value := strings.NewReplacer("%", "%25", " ", "%20", `"`, "%22", "ë", "%c3%ab").Replace(value)
		bound.Set("ce-"+name, value)
		if name != "subject" {
			spelled["CE-"+strings.ToUpper(name)] = []string{value}
		}
	}
	spelled["CE-ID"] = []string{strings.ToUpper(id)}
	both := maps.Clone(bound) // as v0.2.0 writes it
	both.Set("actor", "customer:ada")
	both.Set("replays", "0")
	js := connect(t, cfg)
	put := func(headers nats.Header) {
		m := &nats.Msg{Subject: cfg.Stream + "." + topic, Header: headers, Data: []byte("{}")}
		_, err := js.PublishMsg(t.Context(), m)
		must(t, err)
	}
	for what, headers := range map[string]nats.Header{
		"the binding": bound, "another spelling": spelled, "release v0.2.0": both,
	} {
		put(nats.Header{"ce-id": {id}, "Ce-Id": {uuid.NewString()}})
		put(nats.Header{"ce-id": {id, uuid.NewString()}})
		put(nats.Header{"ce-id": {id}, "ce-actor": {"customer:ada"}, "CE-Actor": {"staff:eve"}})
		put(nats.Header{"ce-id": {"%FF"}})
		put(nats.Header{"ce-id": {id}, "ce-type": {"other.happened.v1"}})
		put(headers)
		m := receive(t, messages, message.NewMessage(id, nil))
		m.Ack()
		want := attributes(id)
		want["id"] = m.UUID
		delete(m.Metadata, "replays")
		if diff := cmp.Diff(want, m.Metadata); diff != "" {
			t.Errorf("by %s: %s", what, diff)
		}
	}
	pgtest.Until(t, "all are acknowledged or terminated", func() bool { return durableOf(t, cfg).AckFloor.Stream == 18 })
}

// The broker delivers what a module listens to wherever that module says, also as an event of a
// topic to which it may not publish. Such an event is dropped, and holds up no other.
func TestAnEventIsDeliveredAsAnother(t *testing.T) {
	t.Parallel()
	const other = "other.happened.v1"
	cfg := newConfig(t, "")
	bus := open(t, cfg)
	must(t, bus.Provision(t.Context(), cfg.Keeping, map[string][]string{"subscriber": {topic}, "forger": {other}}))
	messages := subscribe(t, bus)
	js := connect(t, cfg)
	_, err := js.PublishMsg(t.Context(), &nats.Msg{
		Subject: cfg.Stream + "." + other, Data: []byte("{}"),
		Header: nats.Header{"ce-id": {uuid.NewString()}, "ce-type": {other}}, // the broker knows no id to drop it by
	})
	must(t, err)
	must(t, js.Conn().PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+cfg.Stream+".forger-other-happened-v1", cfg.Stream+"."+topic, nil))
	pgtest.Until(t, "it is in the stream twice", func() bool {
		info, err := streamOf(t, cfg).Info(t.Context())
		must(t, err)
		return info.State.Msgs == 2
	})
	sent := newMessages(1)[0]
	publish(t, bus, sent)
	receive(t, messages, sent).Ack()
}
