package routing

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

// Applied asks a façade for the routes that it has applied.
func Applied(ctx context.Context, facade string) (page routes.Page, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // a change goes on without it
	defer cancel()
	answer, err := ask(ctx, http.MethodGet, address(facade), "", nil)
	if err == nil && answer.status != http.StatusOK {
		err = fmt.Errorf("it answers %d", answer.status)
	}
	if err == nil {
		err = json.Unmarshal(answer.body, &page)
	}
	if err != nil {
		return page, fmt.Errorf("no routes from the façade %s, set GATEWAY_OPS_URL to its OPS_ADDR: %w", facade, err)
	}
	return page, nil
}

// put gives a façade the routes file.
func put(ctx context.Context, facade, secret string, file []byte) error {
	answer, err := ask(ctx, http.MethodPut, address(facade), secret, file)
	if err == nil && answer.status != http.StatusNoContent {
		var problem struct{ Detail string }
		_ = json.Unmarshal(answer.body, &problem) // or it is no façade
		err = fmt.Errorf("it answers %d: %s", answer.status, strings.TrimSuffix(cmp.Or(problem.Detail, "it is no façade"), "."))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", facade, err)
	}
	return nil
}

func address(facade string) string { return strings.TrimSuffix(facade, "/") + "/routes" }

// Probe asks the processes that have got weight since the file before whether they serve their
// route's module.
func Probe(ctx context.Context, file, before routes.File) routes.Answers {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return file.Probe(before, func(url string) int {
		answer, _ := ask(ctx, http.MethodGet, url, "", nil) // no answer has the status 0
		return answer.status
	})
}

// direct follows no redirect and uses no proxy, which would get the secret.
var direct http.RoundTripper = &http.Transport{}

type answer struct {
	status int
	body   []byte
}

func ask(ctx context.Context, method, url, secret string, body []byte) (a answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	if secret != "" {
		request.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := direct.RoundTrip(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	a.status = response.StatusCode
	a.body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return a, err
}
