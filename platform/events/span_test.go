package events_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/events"
)

// spans records the spans of all tests of the package; TestMain installs it.
var spans = tracetest.NewSpanRecorder()

// handled returns the ended handler spans of the trace.
func handled(id oteltrace.TraceID) (handled []trace.ReadOnlySpan) {
	for _, span := range spans.Ended() {
		if span.SpanContext().TraceID() == id && span.Name() == "handle "+(happened{}).Topic() {
			handled = append(handled, span)
		}
	}
	return handled
}

// A failed handler's span has its error, and another's has none.
func TestASpanSaysWhyItsHandlerFailed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.cfg.MaxAttempts = 1
	stop := s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return count(ctx, tx, h)
	})
	s.runOutbox(t)
	ids := map[string]oteltrace.TraceID{"poison": {1, 9}, "fine": {2, 9}}
	for thing, id := range ids {
		parent := oteltrace.SpanContextConfig{
			TraceID: id, SpanID: oteltrace.SpanID{4}, TraceFlags: oteltrace.FlagsSampled,
		}
		s.publish(oteltrace.ContextWithSpanContext(t.Context(), oteltrace.NewSpanContext(parent)), t, thing)
	}
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM effects")
	eventually(t, s.subscriber, 1, "SELECT count(*) FROM failed WHERE dead_at IS NOT NULL")
	stop()
	for thing, id := range ids {
		found := handled(id)
		if len(found) == 0 {
			t.Errorf("%s: no span", thing)
		}
		for _, span := range found {
			broken := span.Status().Code == codes.Error && len(span.Events()) == 1 &&
				strings.Contains(attributesOf(span), "it is broken")
			if broken != (thing == "poison") {
				t.Errorf("%s: status %v, events %v", thing, span.Status(), span.Events())
			}
		}
	}
}

func attributesOf(span trace.ReadOnlySpan) string {
	var all strings.Builder
	for _, event := range span.Events() {
		for _, a := range event.Attributes {
			all.WriteString(a.Value.String() + "\n")
		}
	}
	return all.String()
}

// What a handler does belongs to its event's span, and a duplicate event is no failure.
func TestASpanIsThatOfItsHandler(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var under oteltrace.SpanID
	stop := s.subscribe(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if !under.IsValid() {
			under = oteltrace.SpanContextFromContext(ctx).SpanID()
		}
		return count(ctx, tx, h)
	})
	id := oteltrace.TraceID(uuid.New())
	m := messageOf(t, happened{"one"}, events.Cause{"traceparent": "00-" + id.String() + "-0000000000000001-01"})
	for range 2 {
		if err := s.bus.Publish(happened{}.Topic(), m); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	found := handled(id)
	if len(found) == 0 || found[0].SpanContext().SpanID() != under {
		t.Errorf("the handler ran under the span %s, its own are %v", under, found)
	}
	for _, span := range found {
		if span.Status().Code != codes.Unset || len(span.Events()) > 0 {
			t.Errorf("status %v, events %v", span.Status(), span.Events())
		}
	}
}

// A batch is one span, linked to the traces of its events.
func TestABatchIsOneSpan(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var messages []*message.Message
	var ids []oteltrace.TraceID
	for i := range 3 {
		id := oteltrace.TraceID(uuid.New())
		ids = append(ids, id)
		cause := events.Cause{"traceparent": fmt.Sprintf("00-%s-0000000000000001-01", id)}
		messages = append(messages, messageOf(t, happened{fmt.Sprint(i)}, cause))
	}
	acknowledged, stop := s.batch(t, []events.Handler{events.OnBatch(insertAll)}, messages...)
	mustBeAcknowledged(t, acknowledged)
	stop()
	var linked [][]oteltrace.TraceID
	for _, span := range spans.Ended() {
		var to []oteltrace.TraceID
		for _, link := range span.Links() {
			to = append(to, link.SpanContext.TraceID())
		}
		ours := slices.ContainsFunc(to, func(id oteltrace.TraceID) bool { return slices.Contains(ids, id) })
		if ours && span.Name() == "handle "+(happened{}).Topic() {
			linked = append(linked, to)
		}
	}
	if diff := cmp.Diff([][]oteltrace.TraceID{ids}, linked); diff != "" {
		t.Error(diff)
	}
	for i, id := range ids {
		if found := handled(id); len(found) > 0 {
			t.Errorf("%d spans of the event %d alone", len(found), i)
		}
	}
}
