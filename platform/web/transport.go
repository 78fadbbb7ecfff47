package web

import (
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// ClientConfig bounds what it may cost to ask another process.
type ClientConfig struct {
	// How long a call may take, with all its repetitions.
	Timeout time.Duration `env:"CLIENT_TIMEOUT" envDefault:"2s"`
	// How long each try of it may take.
	TryTimeout time.Duration `env:"CLIENT_TRY_TIMEOUT" envDefault:"700ms"`
	// How often a failed try is repeated.
	Retries int `env:"CLIENT_RETRIES" envDefault:"2"`
	// How long nothing is asked once half of the latest ten tries have failed.
	BreakerPause time.Duration `env:"CLIENT_BREAKER_PAUSE" envDefault:"1s"`
	// What this process shows to others: a token of the role service.
	Token string `env:"SERVICE_TOKEN"`
}

// NewTransport returns a RoundTripper for calls that may be repeated without harm. From the outside in: the whole call is bounded, a
// failed try is repeated, a breaker refuses tries while most fail, and each try is bounded. Trace context is passed on.
func NewTransport(cfg ClientConfig) http.RoundTripper {
	retry := failsafehttp.NewRetryPolicyBuilder().
		WithMaxRetries(cfg.Retries).
		WithBackoff(20*time.Millisecond, 200*time.Millisecond).
		WithJitterFactor(0.5).
		Build()
	breaker := circuitbreaker.NewBuilder[*http.Response]().
		HandleIf(func(r *http.Response, err error) bool {
			return err != nil || r.StatusCode >= http.StatusInternalServerError
		}).
		WithFailureThresholdRatio(5, 10).
		WithDelay(cfg.BreakerPause).
		Build()
	return failsafehttp.NewRoundTripper(otelhttp.NewTransport(authorized{cfg.Token, http.DefaultTransport}),
		timeout.New[*http.Response](cfg.Timeout), retry, breaker, timeout.New[*http.Response](cfg.TryTimeout))
}

// authorized shows the process's token with each request.
type authorized struct {
	token string
	next  http.RoundTripper
}

func (a authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper may not change the caller's request
	r.Header.Set("Authorization", "Bearer "+a.token)
	return a.next.RoundTrip(r)
}
