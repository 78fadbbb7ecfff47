// Package telemetry gives every request a trace id, and sends spans to a collector if there is one.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"

	"example.com/shop/platform/process"
	"example.com/shop/platform/traceparent"
)

// Config says where spans are sent.
type Config struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as http://localhost:4318, or empty.
	Endpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// flushLimit is how long a stopping process waits for a collector that does not answer.
const flushLimit = 2 * time.Second

// Start installs the process's tracer provider and W3C propagation, and logs OpenTelemetry's
// warnings and errors. Flush sends what is buffered, within two seconds.
func Start(ctx context.Context, service string, cfg Config, log *slog.Logger) (flush func(), err error) {
	otel.SetLogger(logr.FromSlogHandler(warnings{log.Handler()}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		log.WarnContext(ctx, "telemetry failed", "error", err)
	}))
	// Without an exporter no span is recorded, but trace ids are still made and passed on: log
	// lines, problems and events of a request have the same one.
	options := []trace.TracerProviderOption{trace.WithSampler(trace.NeverSample())}
	if cfg.Endpoint != "" {
		// The exporter accepts any URL, and then sends nothing: localhost:4318 has no host.
		collector, err := process.BaseURL(cfg.Endpoint)
		if err != nil || collector.User != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be like http://localhost:4318")
		}
		exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector.JoinPath("v1/traces").String()))
		if err != nil {
			return nil, fmt.Errorf("open trace exporter: %w", err)
		}
		options = []trace.TracerProviderOption{
			// A client may name the trace of its request, but it cannot hide the request.
			trace.WithSampler(trace.ParentBased(trace.AlwaysSample(),
				trace.WithRemoteParentNotSampled(trace.AlwaysSample()))),
			trace.WithSpanProcessor(presentable{}),
			trace.WithBatcher(exporter),
			trace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		}
	}
	provider := trace.NewTracerProvider(options...)
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(traceparent.Propagator{})
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
		defer cancel()
		_ = provider.Shutdown(ctx) // unsent spans do not delay the stop
	}, nil
}

// warnings logs OpenTelemetry's V(1) as warnings, which it means; to slog it is a level below info.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return w.Handler.Enabled(ctx, levelOf(level))
}

func (w warnings) Handle(ctx context.Context, r slog.Record) error {
	r.Level = levelOf(r.Level)
	return w.Handler.Handle(ctx, r)
}

func levelOf(level slog.Level) slog.Level {
	if level == -1 {
		return slog.LevelWarn
	}
	return level
}

// presentable edits the attributes of otelhttp. It empties the path, which may hold personal data;
// the span has the route's pattern as well. It repairs invalid UTF-8, as in a User-Agent, because
// of which a whole batch of spans could not be sent.
type presentable struct{}

const attributePath attribute.Key = "url.path"

func (presentable) OnStart(_ context.Context, span trace.ReadWriteSpan) {
	for _, a := range span.Attributes() {
		if a.Key == attributePath {
			span.SetAttributes(attributePath.String(""))
		} else if text := a.Value.AsString(); !utf8.ValidString(text) {
			span.SetAttributes(a.Key.String(strings.ToValidUTF8(text, "\ufffd")))
		}
	}
}

func (presentable) OnEnd(trace.ReadOnlySpan)         {}
func (presentable) Shutdown(context.Context) error   { return nil }
func (presentable) ForceFlush(context.Context) error { return nil }
