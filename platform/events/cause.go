package events

import (
	"cmp"
	"context"

	"go.opentelemetry.io/otel/propagation"

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
