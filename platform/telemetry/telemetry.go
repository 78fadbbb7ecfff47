// Package telemetry gives every request a trace id, and ships the spans when there is somewhere to ship them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Config says where spans go.
type Config struct {
	// Endpoint is the base URL of an OTLP/HTTP collector, such as http://localhost:4318. Without it nothing is sent.
	Endpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
}

// flushLimit is how long a stopping process waits for a collector that does not answer.
const flushLimit = 2 * time.Second

// Start installs the process's tracer provider and W3C propagation. Flush sends what is still buffered, if the collector takes it soon.
// What libraries have to say, above all that the collector cannot be reached, becomes lines of the log; by themselves they write plain text.
func Start(ctx context.Context, service string, cfg Config, log *slog.Logger) (flush func(), err error) {
	slog.SetDefault(log)
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.WarnContext(ctx, "telemetry failed", "error", err) }))
	// Without an exporter no span is recorded, but ids are still made and passed on, so that log lines, problems and
	// events of one request can be found together.
	options := []trace.TracerProviderOption{trace.WithSampler(trace.NeverSample())}
	if cfg.Endpoint != "" {
		// The exporter takes anything, and then sends nothing: localhost:4318 has the scheme localhost and no host.
		collector, err := url.Parse(cfg.Endpoint)
		if err != nil || collector.Scheme != "http" && collector.Scheme != "https" || collector.Host == "" ||
			collector.User != nil || collector.RawQuery != "" || collector.Fragment != "" {
			return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT must be like http://localhost:4318")
		}
		exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(collector.JoinPath("v1/traces").String()))
		if err != nil {
			return nil, fmt.Errorf("open trace exporter: %w", err)
		}
		options = []trace.TracerProviderOption{
			trace.WithSampler(trace.ParentBased(trace.AlwaysSample())),
			trace.WithSpanProcessor(withoutPath{}),
			trace.WithBatcher(exporter),
			trace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))),
		}
	}
	provider := trace.NewTracerProvider(options...)
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagation.TraceContext{})
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
		defer cancel()
		_ = provider.Shutdown(ctx) // spans that nobody takes are no reason to stop later
	}, nil
}

// withoutPath empties the path that otelhttp gives the span of a request. Somebody may have put personal data into it, as into every path
// that nobody serves; a route's pattern, which the span has as well, says what was asked for.
type withoutPath struct{}

const attributePath attribute.Key = "url.path"

func (withoutPath) OnStart(_ context.Context, span trace.ReadWriteSpan) {
	for _, a := range span.Attributes() {
		if a.Key == attributePath {
			span.SetAttributes(attributePath.String(""))
			return
		}
	}
}

func (withoutPath) OnEnd(trace.ReadOnlySpan)         {}
func (withoutPath) Shutdown(context.Context) error   { return nil }
func (withoutPath) ForceFlush(context.Context) error { return nil }
