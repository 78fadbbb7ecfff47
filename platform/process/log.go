package process

import (
	"context"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel/trace"
)

// Log configures the process's log.
type Log struct {
	// The least important level that is written: debug, info, warn or error.
	Level slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	// json for a collector, text for a person.
	Format string `env:"LOG_FORMAT" envDefault:"json"`
}

// Install returns a logger that writes to standard error, with the trace id of each line's context.
// It becomes the default logger, too: what libraries log there would be plain text.
func (l Log) Install(process string) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.Level}
	var handler slog.Handler = slog.NewJSONHandler(os.Stderr, options)
	if l.Format == "text" {
		handler = slog.NewTextHandler(os.Stderr, options)
	}
	log := slog.New(traced{handler}).With("process", process)
	slog.SetDefault(log)
	return log
}

// traced adds the trace id, so that a request can be followed through the logs of all processes.
type traced struct{ slog.Handler }

func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return t.Handler.Handle(ctx, r)
}

func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }
