package events_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/origin"
	"example.com/shop/platform/postgres"
)

type unlisted struct{ happened }

func (unlisted) Topic() string { return "publisher.unlisted.v1" }

// PublishTx refuses an event that the module does not list, and another module's event or
// transaction, and names the module. It refuses an event that the bus would always refuse, because
// that would hold up its topic.
func TestWhatIsNotPublished(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.runOutbox()
	s.outbox.Allow([]events.Event{happened{}})
	for want, test := range map[string]struct {
		db *postgres.DB
		ev events.Event
	}{
		"none of the events that Publishes of publisher": {s.Publisher, unlisted{}},
		"topic belongs to subscriber, not to publisher":  {s.Publisher, answered{}},
		"was not begun by the database of publisher":     {s.Subscriber, happened{}},
		"larger than a bus takes":                        {s.Publisher, happened{Thing: strings.Repeat("x", 1<<20)}},
	} {
		err := test.db.InTx(t.Context(), func(tx pgx.Tx) error { return s.outbox.PublishTx(t.Context(), tx, test.ev) })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	s.Expect(s.Publisher, 0, "SELECT count(*) FROM outbox")
	if all := s.bus.all(); len(all) > 0 {
		t.Errorf("published %v", all)
	}
}

// A transaction writes all its events with one statement, and its commit publishes them: the poll,
// once an hour, does not.
func TestACommitPublishes(t *testing.T) {
	t.Parallel()
	s := newSystemOn(t, fstest.MapFS{"0001_statements.sql": &fstest.MapFile{Data: []byte(`-- +goose Up
CREATE TABLE statements (rows bigint NOT NULL);
-- +goose StatementBegin
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO statements SELECT count(*) FROM written;
	RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note AFTER INSERT ON outbox REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION note();
`)}})
	s.Config.Poll = time.Hour
	s.subscribe(eventtest.Count)
	s.runOutbox()
	var all []events.Event
	for _, thing := range eventtest.Things(1, 30) {
		all = append(all, happened{Thing: thing}, other{happened{Thing: thing}})
	}
	s.CommitAll(t.Context(), s.outbox, all...)
	s.Expect(s.Publisher, 60, "SELECT sum(rows)::bigint FROM statements HAVING count(*) = 1")
	s.Applied(30)
	began := time.Now()
	for i, thing := range eventtest.Things(31, 50) {
		s.publish(thing)
		s.Applied(31 + i)
	}
	if took := time.Since(began) / 20; took > 200*time.Millisecond {
		t.Errorf("from the commit to the handler: %s", took)
	}
	s.Drained()
	if n := len(s.bus.all()); n != 60+20 {
		t.Errorf("%d messages for 80 events", n)
	}
}

// The process dies while the bus has the event: another's next poll publishes it.
func TestTheEventsOfAProcessThatDiedArePublished(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.Poll = time.Second // as it is in production
	s.subscribe(eventtest.Count)
	alive := &flakyBus{MemoryBus: s.bus.MemoryBus}
	s.runOutboxOn(alive)
	s.runOutbox()
	s.bus.hold(t, eventtest.Topic)
	s.publish("thing")
	committed := time.Now()
	s.Applied(1)
	if took := time.Since(committed); took > 3*time.Second {
		t.Errorf("it was published after %s", took)
	}
	s.Drained()
	if all := alive.all(); len(all) != 1 {
		t.Errorf("the other process published %v", all)
	}
}

// A slow topic holds up no other, and a commit does not wait for the bus. What does not fit into
// memory is left to the poll, which also finds, past more events than a queue holds, the events of
// a process that died.
func TestAFullQueueIsLeftToThePoll(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.RelayBatch = 2 // ten batches wait, and 32 are being published
	s.subscribe(eventtest.Count)
	died := s.outbox
	s.runOutbox()
	release := s.bus.hold(t, other{}.Topic())
	var slow []events.Event
	for _, thing := range eventtest.Things(1, 50) {
		slow = append(slow, other{happened{Thing: thing}})
	}
	for _, ev := range append(slow, slow...) {
		s.CommitAll(t.Context(), s.outbox, ev)
	}
	if n := s.outbox.InHand(); n > (10+32)*s.Config.RelayBatch {
		t.Errorf("%d events are in memory", n)
	}
	s.publish("quick")
	s.Applied(1)
	s.CommitAll(t.Context(), died, append(slow, happened{Thing: "left behind"})...)
	s.Applied(2)
	s.Eventually(s.Publisher, 150, "SELECT count(*) FROM outbox_pending")
	release()
	s.Drained()
}

// A backlog larger than the queue is published without waiting for the next poll, an hour later.
func TestABacklogIsPublishedWithoutAPause(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.RelayBatch, s.Config.Poll = 2, time.Hour
	s.subscribe(eventtest.Count)
	s.publish(eventtest.Things(1, 200)...)
	s.exec(s.Publisher, "UPDATE outbox_pending SET created_at = now() - interval '1h'")
	s.runOutbox()
	s.Applied(200)
	s.Drained()
}

// The poll publishes the same message as memory, so after a crash nothing changes for a handler.
func TestMemoryAndTableHaveTheSameEvent(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.Poll = time.Hour
	messages, err := s.bus.Subscribe(t.Context(), eventtest.Topic)
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled,
	})
	ctx := origin.With(trace.ContextWithSpanContext(t.Context(), span),
		origin.Request{CorrelationID: "request-7", Actor: "customer:ada"})
	for _, payload := range []string{`{"thing":"thing \"1\""}`, `{"thing": "thing \"1\""}`} { // as PostgreSQL writes it
		stop := s.runOutbox()
		if pgtest.Count(t, s.Publisher, "SELECT count(*) FROM outbox") == 0 {
			s.Commit(ctx, s.outbox, `thing "1"`)
		}
		s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox WHERE NOT headers ?| '{specversion,id,source,type,subject,time,datacontenttype}'")
		m := <-messages
		made := time.Unix(uuid.MustParse(m.UUID).Time().UnixTime()).UTC()
		want := message.Metadata{
			"specversion": "1.0", "id": m.UUID, "source": "/publisher", "type": eventtest.Topic, "subject": `thing "1"`,
			"time":            made.Format(time.RFC3339Nano),
			"datacontenttype": "application/json", "aggregateversion": "1", "replays": "0", "correlationid": "request-7",
			"actor": "customer:ada", "traceparent": fmt.Sprintf("00-%s-%s-01", span.TraceID(), span.SpanID()),
		}
		if diff := cmp.Diff(want, m.Metadata); diff != "" || string(m.Payload) != payload {
			t.Errorf("payload %s, metadata %s", m.Payload, diff)
		}
		m.Ack()
		stop()
		s.exec(s.Publisher, `INSERT INTO outbox_pending (event_id, topic, created_at)
			SELECT id, topic, now() - interval '1h' FROM outbox`) // and now from the table
	}
}
