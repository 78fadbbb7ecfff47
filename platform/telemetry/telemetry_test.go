package telemetry

import (
	"context"
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

func TestIdsExistWithoutACollector(t *testing.T) {
	flush, err := Start(t.Context(), "shop", Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := otel.Tracer("test").Start(t.Context(), "work")
	defer span.End()
	carrier := propagation.MapCarrier{}
	otel.GetTextMapPropagator().Inject(ctx, carrier)
	if id := span.SpanContext().TraceID(); !id.IsValid() || !strings.Contains(carrier.Get("traceparent"), id.String()) {
		t.Errorf("trace %s is passed on as %q", id, carrier.Get("traceparent"))
	}
	flush()
}

func TestShutdownSendsSpans(t *testing.T) {
	received := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.URL.Path + " " + string(body)
	}))
	defer collector.Close()
	flush, err := Start(t.Context(), "shop", Config{Endpoint: collector.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := otel.Tracer("test").Start(context.Background(), "place order")
	span.End()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/ada@mail.example?email=ada", http.NoBody)
	otelhttp.NewHandler(http.NotFoundHandler(), "request").ServeHTTP(httptest.NewRecorder(), request)
	flush()
	select {
	case got := <-received:
		if !strings.HasPrefix(got, "/v1/traces ") || !strings.Contains(got, "place order") || !strings.Contains(got, "shop") ||
			!strings.Contains(got, "url.path") || strings.Contains(got, "ada") { // the path may be personal
			t.Errorf("the collector got %q", got)
		}
	default:
		t.Error("nothing was sent")
	}
}

// A client names the trace of its request. It cannot keep that from being recorded, and its
// tracestate is not passed on.
func TestAClientCannotHideItsRequest(t *testing.T) {
	received := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- string(body)
	}))
	defer collector.Close()
	flush, err := Start(t.Context(), "shop", Config{Endpoint: collector.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	passedOn := http.Header{}
	handler := otelhttp.NewHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		otel.GetTextMapPropagator().Inject(r.Context(), propagation.HeaderCarrier(passedOn))
	}), "request")
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	const id = "0af7651916cd43dd8448eb211c80319c"
	request.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-00")
	request.Header.Set("Tracestate", "vendor="+strings.Repeat("x", 200))
	request.Header.Set("Baggage", "who=ada")
	request.Header.Set("User-Agent", "\xff") // OTLP is UTF-8: such a span would lose its whole batch
	handler.ServeHTTP(httptest.NewRecorder(), request)
	flush()
	select {
	case got := <-received:
		if trace, _ := hex.DecodeString(id); !strings.Contains(got, string(trace)) || strings.Contains(got, "xxx") {
			t.Errorf("the collector got %q", got)
		}
	default:
		t.Error("the client's request is not to be seen")
	}
	if parent := passedOn.Get("Traceparent"); len(passedOn) != 1 || !strings.HasPrefix(parent, "00-"+id) || !strings.HasSuffix(parent, "-01") {
		t.Errorf("passed on is %v", passedOn)
	}
}

func TestBadEndpoint(t *testing.T) {
	for _, endpoint := range []string{
		"http://[::1", "localhost:4318", "127.0.0.1:4318", "4318", "//localhost:4318", "http://", "https:///v1", "ftp://collector",
		"grpc://collector:4317", "http://ada:secret@collector", "http://collector?token=secret", "http://collector#traces",
		"http://collector?", "http://collector#", "http://:4318", "http://collector:99999",
	} {
		_, err := Start(t.Context(), "shop", Config{Endpoint: endpoint}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", endpoint, err)
		}
	}
}
