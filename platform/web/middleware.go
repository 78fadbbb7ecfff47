package web

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"
)

// request is what the middleware knows of a request. It is a pointer in the context, so that
// problemOf can leave an error's cause for the access line, which is the only place that logs it.
type request struct {
	id        string
	who       Principal // zero on a public route, and for a token that was refused
	address   string    // of the client
	cause     error
	transient func(error) bool
}

type requestKey struct{}

func requestFrom(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{}
}

// saneID keeps a client's id from forging log lines or filling headers.
var saneID = regexp.MustCompile(`^[A-Za-z0-9._:+/=-]{1,128}$`)

func requestID(incoming string) string {
	if saneID.MatchString(incoming) {
		return incoming
	}
	return uuid.Must(uuid.NewV7()).String()
}

// observe gives the request an id and logs it when it is over. The line has the route's pattern and
// never the path or the query, which may hold personal data; and the caller's role, but a hash of
// the subject, by which one caller's requests are found together.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		req := &request{id: requestID(r.Header.Get("X-Request-Id")), transient: s.transient, address: clientAddress(r)}
		ctx := context.WithValue(r.Context(), requestKey{}, req)
		w.Header().Set("X-Request-Id", req.id)
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)

		defer func() { // deferred, because a cut connection unwinds as a panic
			// otelhttp, right outside, names its span and metrics by this field.
			r.Pattern = chi.RouteContext(ctx).RoutePattern()
			status := cmp.Or(answer.Status(), http.StatusOK) // net/http sends 200 for a handler that wrote nothing
			level := slog.LevelInfo
			if status >= http.StatusInternalServerError {
				level = slog.LevelError
			}
			attrs := []slog.Attr{
				slog.String("method", r.Method), slog.String("route", cmp.Or(r.Pattern, "none")),
				slog.Int("status", status), slog.Int64("duration_ms", time.Since(start).Milliseconds()),
				slog.Int("bytes", answer.BytesWritten()),
				slog.String("request_id", req.id), slog.String("client", req.address),
			}
			if req.who.Role != "" {
				attrs = append(attrs, slog.String("role", req.who.Role), slog.String("subject_hash", s.pseudonym(req.who.Subject)))
			}
			if req.cause != nil {
				attrs = append(attrs, slog.String("error", req.cause.Error()))
			}
			s.log.LogAttrs(ctx, level, "http request", attrs...)
		}()
		next.ServeHTTP(answer, r.WithContext(ctx))
	})
}

// clientAddress is that of the connection, "" without one: what a header says, anybody can write.
func clientAddress(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	return host
}

// pseudonym is the same for the same subject as long as the key is.
func (s *Server) pseudonym(subject string) string {
	hash := hmac.New(sha256.New, []byte(s.cfg.LogKey))
	hash.Write([]byte(subject))
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// guard has browsers take each answer for what its Content-Type says.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// rescue turns a panic into a problem without details. A response that has begun is cut off
// instead, since the client would take it for whole.
func (s *Server) rescue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			cause := recover()
			if cause == nil {
				return
			}
			if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) { // it cuts the connection
				panic(cause)
			}
			req := requestFrom(r.Context())
			req.cause = fmt.Errorf("panic: %v", cause)
			s.log.ErrorContext(r.Context(), "panic in handler", "request_id", req.id, "stack", string(debug.Stack()))
			if answer, ok := w.(middleware.WrapResponseWriter); ok && answer.Status() != 0 {
				panic(http.ErrAbortHandler)
			}
			writeProblem(w, standardProblem(r.Context(), http.StatusInternalServerError))
		}()
		next.ServeHTTP(w, r)
	})
}

// limit bounds a request's body and time, and refuses text that PostgreSQL cannot store. It refuses
// a too large Content-Length unread, so that a client with Expect does not send the body.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !storable(r.URL) {
			writeProblem(w, newProblem(r.Context(), http.StatusBadRequest, "invalid-url",
				"Send a URL of valid UTF-8 without NUL characters."))
			return
		}
		if r.ContentLength > s.cfg.MaxBodyBytes {
			writeProblem(w, tooLarge(r.Context(), s.cfg.MaxBodyBytes))
			return
		}
		// Not http.TimeoutHandler: the handler and its transaction would go on after the response.
		ctx := r.Context()
		if s.cfg.HandlerTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.cfg.HandlerTimeout)
			defer cancel()
		}
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBodyBytes)
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// storable checks the decoded text: %00 and %ff would reach a query as bytes.
func storable(u *url.URL) bool {
	query, err := url.QueryUnescape(u.RawQuery)
	text := u.Path + query
	return err == nil && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

// traceID returns the trace's id, which is empty when telemetry was never started.
func traceID(ctx context.Context) string {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		return span.TraceID().String()
	}
	return ""
}
