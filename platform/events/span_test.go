package events_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A span without its error would pass for a success. The test is not parallel: the provider is the process's.
func TestAFailureIsInItsSpan(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	s := newShop(t)
	s.listen(t, func(ctx context.Context, tx pgx.Tx, h happened) error {
		if h.Thing == "poison" {
			return errors.New("it is broken")
		}
		return count(ctx, tx, h)
	})
	s.tell(t)
	s.publish(t.Context(), t, "poison", "thing")
	eventually(t, s.listener, 1, "SELECT count(*) FROM failed")
	eventually(t, s.listener, 1, "SELECT count(*) FROM effects")

	good, bad := 0, 0
	for _, span := range spans.Ended() {
		if span.Name() != "handle teller.happened.v1" {
			continue
		}
		for _, event := range span.Events() {
			for _, a := range event.Attributes {
				if event.Name == "exception" && strings.Contains(a.Value.AsString(), "it is broken") {
					bad++
				}
			}
		}
		if len(span.Events()) == 0 {
			good++
		}
	}
	if good == 0 || bad == 0 {
		t.Errorf("%d spans without an error, %d with one", good, bad)
	}
}
