package telemetry

import (
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// The tests are not parallel: the provider and the propagator are the process's.

func start(t *testing.T, endpoint string) (flush func()) {
	t.Helper()
	flush, err := Start(t.Context(), "app", Config{Endpoint: endpoint}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return flush
}

func TestIdsExistWithoutACollector(t *testing.T) {
	defer start(t, "")()
	ctx, span := otel.Tracer("test").Start(t.Context(), "work")
	defer span.End()
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	if id := span.SpanContext().TraceID(); !id.IsValid() || !strings.Contains(carrier.Get("traceparent"), id.String()) {
		t.Errorf("trace %s is passed on as %q", id, carrier.Get("traceparent"))
	}
}

// A client names the trace of its request. It cannot keep that from being recorded, by asking or by
// text that is not UTF-8, and the collector gets nothing of its path, its tracestate and its
// baggage.
func TestAFlushSendsWhatARequestWas(t *testing.T) {
	received := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	flush := start(t, collector.URL)
	passedOn := http.Header{}
	handler := otelhttp.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		otel.GetTextMapPropagator().Inject(r.Context(), propagation.HeaderCarrier(passedOn))
	}), "request")
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/ada@mail.example?email=ada", http.NoBody)
	const id = "0af7651916cd43dd8448eb211c80319c"
	request.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-00")
	request.Header.Set("Tracestate", "vendor="+strings.Repeat("x", 200))
	request.Header.Set("Baggage", "who=ada")
	request.Header.Set("User-Agent", "\xff") // OTLP is UTF-8: such a span would lose its whole batch
	handler.ServeHTTP(httptest.NewRecorder(), request)
	flush()
	select {
	case got := <-received:
		trace, _ := hex.DecodeString(id)
		for _, part := range []string{"otelhttp", "app", "url.path", string(trace)} {
			if !strings.Contains(got, part) {
				t.Errorf("%q is not in what the collector got: %q", part, got)
			}
		}
		if !strings.HasPrefix(got, "/v1/traces ") || strings.Contains(got, "ada") || strings.Contains(got, "xxx") {
			t.Errorf("the collector got %q", got)
		}
	default:
		t.Error("nothing was sent")
	}
	parent := passedOn.Get("Traceparent")
	if len(passedOn) != 1 || !strings.HasPrefix(parent, "00-"+id) || !strings.HasSuffix(parent, "-01") {
		t.Errorf("passed on is %v", passedOn)
	}
}

// process.BaseURL's own test has more.
func TestBadEndpoint(t *testing.T) {
	for _, endpoint := range []string{"localhost:4318", "http://ada:secret@collector", "http://collector?token=secret"} {
		_, err := Start(t.Context(), "app", Config{Endpoint: endpoint}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", endpoint, err)
		}
	}
}
