package events

import (
	"cmp"
	"context"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"example.com/shop/platform/origin"
	"example.com/shop/platform/traceparent"
)

// Header names of a cause (W3C Trace Context, CloudEvents). A tenant header is reserved, not set.
const (
	headerCorrelation = "correlationid"
	headerActor       = "actor"
	headerFollows     = "follows" // in jobs only: the topic of the event that enqueued one
)

// Cause is a trace and an origin, in a form that a row can store. An event's headers hold it, and
// so does a job, so that what is published later still belongs to the request that caused it.
type Cause map[string]string

// CauseOf returns the cause of what is done under ctx.
func CauseOf(ctx context.Context) Cause {
	request := origin.From(ctx)
	cause := Cause{headerCorrelation: request.CorrelationID, headerActor: request.Actor}
	if request.Topic != "" {
		cause[headerFollows] = request.Topic
	}
	traceparent.Propagator{}.Inject(ctx, propagation.MapCarrier(cause))
	return cause
}

// WithCause returns a context whose events have the stored cause.
func WithCause(ctx context.Context, cause Cause) context.Context {
	ctx = traceparent.Propagator{}.Extract(ctx, propagation.MapCarrier(cause))
	return origin.With(ctx, origin.Request{
		CorrelationID: cause[headerCorrelation], Actor: cause[headerActor],
		Topic: cmp.Or(cause[headerFollows], cause[headerTopic]),
	})
}

// startSpan begins the span of a group's handler, in the trace of its event, or linked to those of
// several. The context has the event's cause; of several, the actor system.
func (c *Consumer) startSpan(
	ctx context.Context, topic string, group []*message.Message,
) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer)}
	if len(group) == 1 {
		ctx = WithCause(ctx, Cause(group[0].Metadata))
	} else {
		ctx = origin.With(ctx, origin.Request{Actor: "system", Topic: topic})
		for _, m := range group {
			options = append(options, trace.WithLinks(trace.LinkFromContext(WithCause(ctx, Cause(m.Metadata)))))
		}
	}
	return c.tracer.Start(ctx, "handle "+topic, options...)
}
