package events

import (
	"context"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"go.opentelemetry.io/otel/propagation"

	"example.com/shop/platform/traceparent"
)

// Header names of a cause, from W3C Trace Context and CloudEvents. A tenant header is reserved and not set.
const (
	headerCorrelation = "correlationid"
	headerActor       = "actor"
)

// Origin is the request that caused an event, however many events lie between.
type Origin struct {
	CorrelationID string // the request's id
	Actor         string // who asked: role:subject, or system
}

type originKey struct{}

// WithOrigin returns a context whose events carry the origin. The web middleware calls it for each request.
func WithOrigin(ctx context.Context, origin Origin) context.Context {
	return context.WithValue(ctx, originKey{}, origin)
}

// Cause is why something happens, in a form that a row can keep: the trace, and the origin. An event's headers hold it; an intent that a
// worker acts on later keeps it as well, so that what the worker publishes still belongs to the request that began it.
type Cause map[string]string

// CauseOf is the cause of whatever is done under ctx.
func CauseOf(ctx context.Context) Cause {
	origin, ok := ctx.Value(originKey{}).(Origin)
	if !ok {
		origin.Actor = "system"
	}
	cause := Cause{headerCorrelation: origin.CorrelationID, headerActor: origin.Actor}
	traceparent.Propagator{}.Inject(ctx, propagation.MapCarrier(cause))
	return cause
}

// WithCause returns a context in which what is done has the cause that was kept.
func WithCause(ctx context.Context, cause Cause) context.Context {
	ctx = traceparent.Propagator{}.Extract(ctx, propagation.MapCarrier(cause))
	return WithOrigin(ctx, Origin{CorrelationID: cause[headerCorrelation], Actor: cause[headerActor]})
}

// Names of headers that more than one place reads: watermill's metadata have the same.
const (
	headerTopic = "type"
	headerKey   = "subject" // the aggregate's id
)

// headersOf describes the event by CloudEvents attributes, and carries on the cause that ctx knows.
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
