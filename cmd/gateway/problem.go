package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// writeProblem answers with a problem (RFC 9457). It repeats nothing of a client's request.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type":     "urn:shop:problem:" + kind,
		"title":    strings.ToUpper(kind[:1]) + strings.ReplaceAll(kind[1:], "-", " "),
		"status":   status,
		"detail":   detail,
		"trace_id": trace.SpanContextFromContext(r.Context()).TraceID().String(),
	})
}
