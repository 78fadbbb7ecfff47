// Package traceparent passes a trace from one process to the next. It is apart from telemetry, so
// that code that only passes a trace on does not depend on an exporter.
package traceparent

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Propagator passes on traceparent (W3C Trace Context) and no tracestate: a client's may have
// kilobytes, which every event of the request would store.
type Propagator struct{ propagation.TraceContext }

// Inject writes traceparent.
func (p Propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	p.TraceContext.Inject(ctx, parentOnly{carrier})
}

// Extract reads traceparent.
func (p Propagator) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	return p.TraceContext.Extract(ctx, parentOnly{carrier})
}

// Fields returns what Inject writes.
func (Propagator) Fields() []string { return []string{header} }

const header = "traceparent"

type parentOnly struct{ propagation.TextMapCarrier }

func (c parentOnly) Get(key string) string {
	if key != header {
		return ""
	}
	return c.TextMapCarrier.Get(key)
}

func (c parentOnly) Set(key, value string) {
	if key == header {
		c.TextMapCarrier.Set(key, value)
	}
}
