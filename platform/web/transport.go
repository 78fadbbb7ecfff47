package web

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"example.com/shop/platform/process"
)

// ClientConfig bounds calls to another process.
type ClientConfig struct {
	// How long a call may take, with all its retries.
	Timeout time.Duration `env:"CLIENT_TIMEOUT" envDefault:"5s"`
	// How long each try may take: longer than in a burst, in which a retry would only add to the load.
	TryTimeout time.Duration `env:"CLIENT_TRY_TIMEOUT" envDefault:"2s"`
	// How often a failed try is retried.
	Retries int `env:"CLIENT_RETRIES" envDefault:"2" min:"0"`
	// How long the circuit breaker is open once half of the latest ten tries have failed.
	BreakerPause time.Duration `env:"CLIENT_BREAKER_PAUSE" envDefault:"1s"`
	// The token, of the role service, that this process sends.
	Token string `env:"SERVICE_TOKEN"`
	// A file with the token, read for each call: so that the next token needs no restart.
	TokenFile string `env:"SERVICE_TOKEN_FILE"`

	Certificate process.Certificate
}

// NewTransport returns a RoundTripper for idempotent calls. From the outside in: the whole call is
// bounded, a failed try is retried, a circuit breaker refuses tries while most fail, and each try
// is bounded, to the last byte of its response. Trace context is passed on.
func NewTransport(cfg ClientConfig) http.RoundTripper {
	retry := failsafehttp.NewRetryPolicyBuilder().
		WithMaxRetries(cfg.Retries).
		WithBackoff(20*time.Millisecond, 200*time.Millisecond).
		WithJitterFactor(0.5).
		AbortIf(func(r *http.Response, _ error) bool { return r != nil && retryAfter(r) >= cfg.Timeout }).
		Build()
	breaker := circuitbreaker.NewBuilder[*http.Response]().
		HandleIf(func(r *http.Response, err error) bool {
			return !errors.Is(err, errCallerLeft) && (err != nil || r.StatusCode >= http.StatusInternalServerError)
		}).
		WithFailureThresholdRatio(5, 10).
		WithDelay(cfg.BreakerPause).
		Build()
	return &transport{
		token: cfg.token,
		next:  otelhttp.NewTransport(cfg.Certificate.Transport()),
		policies: []failsafe.Policy[*http.Response]{
			timeout.New[*http.Response](cfg.Timeout), retry, breaker, timeout.New[*http.Response](cfg.TryTimeout),
		},
	}
}

// token returns the token to send now.
func (c ClientConfig) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read SERVICE_TOKEN_FILE: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// retryAfter returns a response's Retry-After. A call that may not take that long is not retried.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(r.Header.Get("Retry-After"), 10, 32)
	if err != nil {
		return 0 // none, or a date, which no policy waits for
	}
	return time.Duration(seconds) * time.Second //nolint:gosec // it has 32 bits
}

// transport shares the policies among all calls, so that the circuit breaker counts each.
type transport struct {
	token    func() (string, error)
	next     http.RoundTripper
	policies []failsafe.Policy[*http.Response]
}

// errCallerLeft marks a try whose caller is gone, which is no failure of the other process.
var errCallerLeft = errors.New("the caller has left")

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	caller := r.Context() // a try's own context also ends by the policies
	return failsafehttp.NewRoundTripper(roundTripper(func(r *http.Request) (*http.Response, error) {
		response, err := t.try(r)
		if err != nil && caller.Err() != nil {
			err = fmt.Errorf("%w: %w", errCallerLeft, err)
		}
		return response, err
	}), t.policies...).RoundTrip(r)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// maxAnswer bounds what is read of a response.
const maxAnswer = 1 << 20

// try sends the request once, with the process's token, and reads the whole response: one that
// stalls in its body is as late as one that never begins.
func (t *transport) try(r *http.Request) (*http.Response, error) {
	token, err := t.token()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context()) // a RoundTripper may not change the caller's request
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, maxAnswer))
	if err := cmp.Or(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}
