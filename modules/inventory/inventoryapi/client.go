package inventoryapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxAnswer bounds what is read of a response; a hundred quotes take a tenth of it.
const maxAnswer = 1 << 20

// Client gets quotes from an inventory in another process.
type Client struct {
	url  string
	http *http.Client
}

// ErrDenied means that inventory refuses the service's token, or got none. A retry does not help.
var ErrDenied = errors.New("inventory refuses the service's token")

// NewClient returns a client of the inventory at base, such as http://127.0.0.1:8082. Timeout,
// retries, circuit breaker and the service's token are the transport's; a retry is harmless.
func NewClient(base string, transport http.RoundTripper) *Client {
	return &Client{
		url: strings.TrimSuffix(base, "/") + "/v1/inventory/quotes",
		http: &http.Client{
			Transport: transport,
			// The transport would send the service's token to any address that a redirect names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Quote returns the name and the price of each of 1 to 100 skus that exists, in sku order.
func (c *Client) Quote(ctx context.Context, skus []string) ([]Quote, error) {
	question, err := json.Marshal(map[string][]string{"skus": skus})
	if err != nil {
		return nil, fmt.Errorf("encode skus: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(question))
	if err != nil {
		return nil, fmt.Errorf("make quote request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask for quotes: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // the body was read
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("ask for quotes: answered %d: %w", response.StatusCode, ErrDenied)
	default:
		return nil, fmt.Errorf("ask for quotes: answered %d", response.StatusCode)
	}
	var answer struct {
		Items []Quote `json:"items"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("decode quotes: %w", err)
	}
	return answer.Items, nil
}
