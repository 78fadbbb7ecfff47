// Package telemetry gives every request a trace id, and ships the spans when there is somewhere to ship them.
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

// Config says where spans go.
type Config struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as http://localhost:4318. Without it nothing is sent.
	Endpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// flushLimit is how long a stopping process waits for a collector that does not answer.
const flushLimit = 2 * time.Second

// Start installs the process's tracer provider and W3C propagation. Flush sends what is still
// buffered, if the collector takes it soon. Warnings and errors of OpenTelemetry, above all that
// the collector cannot be reached, become lines of the log.
func Start(ctx context.Context, service string, cfg Config, log *slog.Logger) (flush func(), err error) {
	otel.SetLogger(logr.FromSlogHandler(warnings{log.Handler()}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.WarnContext(ctx, "telemetry failed", "error", err) }))
	// Without an exporter no span is recorded, but ids are still made and passed on, so that log lines, problems and
	// events of one request can be found together.
	options := []trace.TracerProviderOption{trace.WithSampler(trace.NeverSample())}
	if cfg.Endpoint != "" {
		// The exporter takes anything, and then sends nothing: localhost:4318 has the scheme
		// localhost and no host.
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
			trace.WithSampler(trace.ParentBased(trace.AlwaysSample(), trace.WithRemoteParentNotSampled(trace.AlwaysSample()))),
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
		_ = provider.Shutdown(ctx) // spans that nobody takes are no reason to stop later
	}, nil
}

// warnings makes warnings of what OpenTelemetry means by V(1), which to slog is a level below info.
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

// presentable edits what otelhttp says of a request. The path becomes empty: a client may have put
// personal data into it, as into every path that is not served; a route's pattern, which the span
// has as well, says what was asked for. Text that is not UTF-8, as a User-Agent may be, is
// repaired: with it a whole batch of spans could not be sent.
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
