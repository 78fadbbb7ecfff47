package events

import (
	"context"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/propagation"

	"example.com/shop/platform/origin"
	"example.com/shop/platform/traceparent"
)

// Header names of a cause (W3C Trace Context, CloudEvents). A tenant header is reserved, not set.
const (
	headerCorrelation = "correlationid"
	headerActor       = "actor"
)

// Cause is a trace and an origin, in a form that a row can store. An event's headers hold it, and
// so does a job, so that what is published later still belongs to the request that caused it.
type Cause map[string]string

// CauseOf returns the cause of what is done under ctx.
func CauseOf(ctx context.Context) Cause {
	request := origin.From(ctx)
	cause := Cause{headerCorrelation: request.CorrelationID, headerActor: request.Actor}
	traceparent.Propagator{}.Inject(ctx, propagation.MapCarrier(cause))
	return cause
}

// WithCause returns a context whose events have the stored cause.
func WithCause(ctx context.Context, cause Cause) context.Context {
	ctx = traceparent.Propagator{}.Extract(ctx, propagation.MapCarrier(cause))
	return origin.With(ctx, origin.Request{CorrelationID: cause[headerCorrelation], Actor: cause[headerActor]})
}

// Header names that several files read. Watermill's metadata has the same names.
const (
	headerTopic = "type"
	headerKey   = "subject" // the aggregate's id
)

// headersOf returns the event's CloudEvents attributes and the cause of ctx.
func (o *Outbox) headersOf(ctx context.Context, id string, ev Event) message.Metadata {
	headers := message.Metadata(CauseOf(ctx))
	if headers[headerCorrelation] == "" {
		headers[headerCorrelation] = id
	}
	key, version := ev.Aggregate()
	headers["specversion"] = "1.0"
	headers["id"] = id
	headers["source"] = "/" + o.db.Module
	headers[headerTopic] = ev.Topic()
	headers[headerKey] = key
	headers["time"] = time.Now().UTC().Format(time.RFC3339Nano)
	headers["datacontenttype"] = "application/json"
	headers["aggregateversion"] = strconv.FormatInt(version, 10)
	return headers
}
