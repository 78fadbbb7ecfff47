package events_test

import (
	"context"
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

// A handler runs in a span of its event's trace, which has its error; a duplicate is no failure. A
// batch is one span, linked to the traces of its events.
func TestASpanOfAHandler(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.Config.MaxAttempts = 1
	var under []oteltrace.SpanID
	deliver, stop := s.gated(events.OnBatch(func(ctx context.Context, tx pgx.Tx, batch []delivery) error {
		under = append(under, oteltrace.SpanContextFromContext(ctx).SpanID())
		return insertAll(ctx, tx, batch)
	}))
	var ids []oteltrace.TraceID
	var messages []*message.Message
	for _, thing := range []string{"fine", "poison", "1", "2", "3"} {
		ids = append(ids, oteltrace.TraceID(uuid.New()))
		messages = append(messages, messageOf(happened{Thing: thing}, "",
			events.Cause{"traceparent": "00-" + ids[len(ids)-1].String() + "-0000000000000001-01"}))
	}
	deliver(messages[0])
	deliver(messages[0])
	deliver(messages[1])
	deliver(messages[2:]...)
	stop()
	own := map[oteltrace.TraceID][]trace.ReadOnlySpan{}
	var linked [][]oteltrace.TraceID
	for _, span := range spans.Ended() {
		id := span.SpanContext().TraceID()
		own[id] = append(own[id], span)
		if links := span.Links(); len(links) == 3 && span.SpanContext().SpanID() == under[len(under)-1] {
			linked = append(linked, []oteltrace.TraceID{
				links[0].SpanContext.TraceID(), links[1].SpanContext.TraceID(), links[2].SpanContext.TraceID(),
			})
		}
	}
	if diff := cmp.Diff([][]oteltrace.TraceID{ids[2:]}, linked); diff != "" {
		t.Errorf("the links of the batch: %s", diff)
	}
	if fine := own[ids[0]]; len(fine) == 0 || fine[0].SpanContext().SpanID() != under[0] ||
		fine[0].Name() != "handle publisher.happened.v1" {
		t.Errorf("the handler ran under the span %s, its own are %v", under[0], fine)
	}
	for i, id := range ids {
		if wanted := i < 2; wanted != (len(own[id]) > 0) {
			t.Errorf("the event %d has %d spans alone", i, len(own[id]))
		}
		for _, span := range own[id] {
			why := ""
			for _, event := range span.Events() {
				for _, a := range event.Attributes {
					why += a.Value.String()
				}
			}
			failed := span.Status().Code == codes.Error
			if failed != (i == 1) || failed != strings.Contains(why, "it is broken") {
				t.Errorf("event %d: status %v, events %v", i, span.Status(), span.Events())
			}
		}
	}
}
