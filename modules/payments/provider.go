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

// httpProvider is the anti-corruption layer: the provider's words are spoken here and nowhere else.
type httpProvider struct {
	base   string
	client *http.Client
}

func newHTTPProvider(cfg Config) *httpProvider {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = cfg.Concurrency // a connection per job under way, kept
	return &httpProvider{
		base: strings.TrimRight(cfg.ProviderURL, "/"),
		client: &http.Client{
			Transport: transport,
			Timeout:   cfg.CallTimeout,
			// A redirected POST would become a GET, whose answer means something else.
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
	code, a, err := p.do(req)
	if code == http.StatusNotFound {
		return answer{}, errUnheard
	}
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
	// The transport repeats a request by itself when an idle connection turns out dead. The key in the body makes that safe.
	code, a, err := p.do(req)
	switch code {
	// It has read the request and will never do it. Every other code leaves the outcome open: 404 is a wrong address, 409 says
	// that the key has taken effect already, 401 and 429 are ours to solve.
	case http.StatusBadRequest, http.StatusPaymentRequired, http.StatusUnprocessableEntity:
		return answer{outcome: refused, reason: "invalid_request"}, nil
	}
	return a, err
}

// do returns the status code with the answer, or with the error that stands for it; 0 if there was no response at all.
func (p *httpProvider) do(req *http.Request) (code int, a answer, err error) {
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, answer{}, fmt.Errorf("call provider: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // what was read is what counts
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, answer{}, fmt.Errorf("read answer: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		a, err = translate(body)
		return resp.StatusCode, a, err
	case http.StatusAccepted:
		return resp.StatusCode, answer{}, errUnderWay
	}
	return resp.StatusCode, answer{}, fmt.Errorf("provider answered %d", resp.StatusCode)
}

// maxAnswer is far more than any answer needs.
const maxAnswer = 64 << 10

// reasonCode is the shape of a reason that we repeat to others. Free text could name a card.
var reasonCode = regexp.MustCompile(`^[a-z][a-z_]{0,63}$`)

var errUnknownAnswer = errors.New("an answer that we do not understand")

// translate reads their answer into our words. What it does not understand stays unknown: never a yes, never a no.
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
	}
	return answer{}, errUnknownAnswer
}
