package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// problem is the body of every error (RFC 9457). Its type is a stable name for programs; its detail
// says what to do. No field carries values of the request.
type problem struct {
	Type    string  `json:"type" example:"urn:shop:problem:validation-failed" doc:"Stable name of the kind of problem."`
	Title   string  `json:"title" doc:"The kind of problem in words."`
	Status  int     `json:"status" example:"422" doc:"The HTTP status."`
	Detail  string  `json:"detail" doc:"What to do about it."`
	TraceID string  `json:"trace_id,omitempty" doc:"Names this request in a report."`
	Errors  []fault `json:"errors,omitempty" doc:"What was wrong, and where."`
}

// fault is one thing that is wrong with a request: where, and what was expected instead.
type fault struct {
	Location string `json:"location" example:"body.lines[0].quantity"`
	Message  string `json:"message" example:"expected number >= 1"`
}

func (p *problem) Error() string               { return p.Title + ": " + p.Detail }
func (p *problem) GetStatus() int              { return p.Status }
func (p *problem) ContentType(_ string) string { return "application/problem+json" }

// Problem returns an error for an operation to return. Kind is kebab-case and stable, such as
// "parcel-not-found"; detail says what to do and repeats nothing of the request.
func Problem(ctx context.Context, status int, kind, detail string) error {
	return newProblem(ctx, status, kind, detail)
}

// RefusalError is an error with an answer of its own, whichever operation returns it. Kind and
// Detail are as for Problem.
type RefusalError struct {
	Status       int
	Kind, Detail string
}

func (r *RefusalError) Error() string { return r.Detail }

func newProblem(ctx context.Context, status int, kind, detail string) *problem {
	return &problem{
		Type:    "urn:shop:problem:" + kind,
		Title:   strings.ToUpper(kind[:1]) + strings.ReplaceAll(kind[1:], "-", " "),
		Status:  status,
		Detail:  detail,
		TraceID: traceID(ctx),
	}
}

// standard are the problems that modules do not define.
var standard = map[int]struct{ kind, detail string }{
	http.StatusBadRequest:            {"malformed-request", "Send the body that the operation documents, as valid JSON."},
	http.StatusUnauthorized:          {"unauthenticated", "Send a valid, unexpired token as Authorization: Bearer."},
	http.StatusForbidden:             {"forbidden", "Use a token of a role that may call this operation; its documentation names them."},
	http.StatusRequestTimeout:        {"request-timeout", "The body arrived too slowly. Send the request again."},
	http.StatusRequestEntityTooLarge: {"body-too-large", "Send a smaller body."},
	http.StatusUnsupportedMediaType:  {"unsupported-media-type", "Send the body as application/json."},
	http.StatusUnprocessableEntity:   {"validation-failed", "Correct what errors lists and send the request again."},
	http.StatusTooManyRequests:       {"too-many-requests", "Send fewer requests. Retry-After says when the next one is served."},
	http.StatusInternalServerError:   {"internal", "The fault is ours. Try again later; a report should name the trace_id."},
	http.StatusServiceUnavailable:    {"timeout", "The request took too long and was given up. Try again later."},
}

func tooLarge(ctx context.Context, limit int64) *problem {
	detail := fmt.Sprintf("Send a body of at most %d bytes.", limit)
	return newProblem(ctx, http.StatusRequestEntityTooLarge, "body-too-large", detail)
}

func standardProblem(ctx context.Context, status int) *problem {
	return newProblem(ctx, status, standard[status].kind, standard[status].detail)
}

// configureHuma sets huma's package variables, once per process and before the first API exists.
var configureHuma = sync.OnceFunc(func() {
	huma.DefaultArrayNullable = false
	// Otherwise {"quantity":1,"QUANTITY":-1} passes as 1 and is decoded as -1.
	huma.ValidateStrictCasing = true
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return problemOf(context.Background(), status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := problemOf(ctx.Context(), status, message, errs)
		if p.Status == http.StatusServiceUnavailable {
			ctx.SetHeader("Retry-After", "1") // a passing fault may be over by then
		}
		return p
	}
})

// problemOf maps an error of huma or of a handler to a problem, whose status replaces huma's.
func problemOf(ctx context.Context, status int, message string, errs []error) *problem {
	cause := errors.Join(errs...)
	over, refusal := (*http.MaxBytesError)(nil), (*RefusalError)(nil)
	switch {
	case errors.As(cause, &over): // huma: 500
		return tooLarge(ctx, over.Limit)
	case message == "cannot read request body": // huma: 500, but it is the client who went away
		return standardProblem(ctx, http.StatusBadRequest)
	case errors.As(cause, &refusal):
		return newProblem(ctx, refusal.Status, refusal.Kind, refusal.Detail)
	case status == http.StatusInternalServerError:
		requestFrom(ctx).cause = cause
		if errors.Is(ctx.Err(), context.Canceled) { // not our fault, so no 5xx in the access log
			return newProblem(ctx, 499, "client-closed-request", "The client went away.")
		}
		if errors.Is(cause, context.DeadlineExceeded) {
			return standardProblem(ctx, http.StatusServiceUnavailable)
		}
		if transient := requestFrom(ctx).transient; transient != nil && transient(cause) {
			return newProblem(ctx, http.StatusServiceUnavailable, "database-unavailable",
				"The database cannot answer at the moment. Send the request again in a moment, with the same Idempotency-Key if it has one.")
		}
		return standardProblem(ctx, status)
	}
	faults := faultsOf(errs)
	if len(faults) > 0 && faults[0].Message == errTooMany.Error() { // huma: 400
		status = http.StatusUnprocessableEntity
	}
	atHeader := func(f fault) bool { return strings.HasPrefix(f.Location, "header.") }
	if slices.ContainsFunc(faults, atHeader) { // huma: 422
		p := newProblem(ctx, http.StatusBadRequest, "invalid-header",
			"Correct the headers that errors lists and send the request again.")
		p.Errors = faults
		return p
	}
	if _, ok := standard[status]; !ok {
		kind := strings.ToLower(strings.ReplaceAll(http.StatusText(status), " ", "-"))
		if kind == "" { // huma asks with status 0 when it wants to know the schema
			kind = "unknown"
		}
		return newProblem(ctx, status, kind, message)
	}
	p := standardProblem(ctx, status)
	p.Errors = faults
	return p
}

// faultsOf keeps huma's locations and messages, without values: what follows a colon in a message
// is a parser's error, which quotes the input. A body of unknown fields only has many faults.
func faultsOf(errs []error) []fault {
	const most, longest = 20, 100
	var faults []fault
	for _, err := range errs {
		var detail *huma.ErrorDetail
		if !errors.As(err, &detail) || len(faults) == most {
			continue
		}
		message, _, _ := strings.Cut(detail.Message, ": ")
		faults = append(faults, fault{Location: detail.Location[:min(len(detail.Location), longest)], Message: message})
	}
	return faults
}

func writeProblem(w http.ResponseWriter, p *problem) {
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // it fails when the client is gone
}
