package payments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// httpProvider is the anti-corruption layer: nothing else knows the provider's API.
type httpProvider struct {
	base   string
	secret string // "" for none
	client *http.Client
}

func newHTTPProvider(cfg Config) *httpProvider {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cfg.Concurrency // keeps one connection per job under way
	return &httpProvider{
		base:   strings.TrimRight(cfg.ProviderURL, "/"),
		secret: cfg.ProviderSecret,
		client: &http.Client{
			Transport: transport,
			Timeout:   cfg.CallTimeout,
			// A redirected POST would become a GET, whose response means something else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func (p *httpProvider) Capture(ctx context.Context, key uuid.UUID, token string, m money) (answer, error) {
	return p.post(ctx, "/captures", map[string]any{
		"idempotency_key": key, "source": token, "amount": m.Amount, "currency": m.Currency,
	})
}

func (p *httpProvider) Refund(ctx context.Context, key uuid.UUID, reference string, m money) (answer, error) {
	return p.post(ctx, "/refunds", map[string]any{
		"idempotency_key": key, "reference": reference, "amount": m.Amount, "currency": m.Currency,
	})
}

func (p *httpProvider) Lookup(ctx context.Context, key uuid.UUID) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/operations/"+key.String(), http.NoBody)
	if err != nil {
		return answer{}, fmt.Errorf("ask provider: %w", err)
	}
	_, a, err := p.do(req)
	return a, err
}

func (p *httpProvider) post(ctx context.Context, path string, body any) (answer, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return answer{}, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(encoded))
	if err != nil {
		return answer{}, fmt.Errorf("call provider: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// The transport retries on its own when an idle connection is dead, which the key makes safe.
	code, a, err := p.do(req)
	switch code {
	// Refused for good. Every other code leaves the outcome unknown: 404 is a wrong address, 409
	// says that the key has taken effect already, 401 and 429 are ours to solve.
	case http.StatusBadRequest, http.StatusPaymentRequired, http.StatusUnprocessableEntity:
		return answer{outcome: refused, reason: "invalid_request"}, nil
	}
	return a, err
}

// do returns the status code, 0 without a response, and the answer or the error that it means.
func (p *httpProvider) do(req *http.Request) (code int, a answer, err error) {
	if p.secret != "" {
		req.Header.Set("Authorization", "Bearer "+p.secret)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, answer{}, fmt.Errorf("call provider: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // the body was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, answer{}, fmt.Errorf("read answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		a, err = translate(body)
		return resp.StatusCode, a, err
	case http.StatusNotFound:
		// Only the provider's own word counts: a proxy on the way there answers 404 as well.
		if _, err := translate(body); errors.Is(err, errNoRecord) {
			return resp.StatusCode, answer{}, err
		}
	case http.StatusAccepted:
		return resp.StatusCode, answer{}, errUnderWay
	}
	return resp.StatusCode, answer{}, fmt.Errorf("provider answered %d", resp.StatusCode)
}

// maxAnswer bounds what is read of a response.
const maxAnswer = 64 << 10

// reasonCode is the shape of a reason that is published. Free text could name a card.
var reasonCode = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

var errUnknownAnswer = errors.New("an answer that we do not understand")

// translate maps the provider's response to an answer. Of one that it does not understand the
// outcome stays unknown: neither approved nor refused.
func translate(body []byte) (answer, error) {
	var theirs struct {
		Reference string `json:"reference"`
		Outcome   string `json:"outcome"`
		Reason    string `json:"reason"`
	}
	if err := json.Unmarshal(body, &theirs); err != nil {
		return answer{}, errUnknownAnswer
	}
	switch theirs.Outcome {
	case "approved":
		if theirs.Reference == "" {
			return answer{}, errUnknownAnswer
		}
		return answer{outcome: approved, reference: theirs.Reference}, nil
	case "refused":
		if !reasonCode.MatchString(theirs.Reason) {
			theirs.Reason = "refused"
		}
		return answer{outcome: refused, reference: theirs.Reference, reason: theirs.Reason}, nil
	case "unknown":
		return answer{}, errNoRecord
	}
	return answer{}, errUnknownAnswer
}
