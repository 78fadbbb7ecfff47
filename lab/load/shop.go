package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Shop is a client of the shop's API.
type Shop struct {
	URL   string
	Token string // of a customer, or of staff for Restock
}

// Errors that the user can fix before a run.
var (
	ErrNoShop  = errors.New("this is no shop")
	ErrToken   = errors.New("the shop refuses the token")
	ErrSoldOut = fmt.Errorf("no product of the shop has %d pieces on hand", enough)
)

// enough is how many pieces must be on hand for a run not to sell out at once.
const enough = 100

// Check lists the customer's orders, which only a shop has and only a customer may see. A failing
// shop is still a shop: its 5xx is neither ErrNoShop nor ErrToken.
func (s Shop) Check(ctx context.Context) error {
	var page struct{ Items []json.RawMessage }
	err := s.ask(ctx, http.MethodGet, "/v1/orders?limit=1", nil, &page)
	status, other := errors.AsType[statusError](err)
	_, cut := errors.AsType[net.Error](err) // not even a whole answer
	switch {
	case other && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden):
		return fmt.Errorf("%w (%w)", ErrToken, err)
	case other && (status.code >= 500 || status.code == http.StatusTooManyRequests), cut, ctx.Err() != nil:
		return err
	case err != nil:
		return fmt.Errorf("%w (%w)", ErrNoShop, err)
	case page.Items == nil:
		return fmt.Errorf("%w (it lists no orders)", ErrNoShop)
	}
	return nil
}

type product struct {
	SKU    string `json:"sku"`
	OnHand int64  `json:"on_hand"`
}

func (s Shop) products(ctx context.Context) ([]product, error) {
	var page struct{ Items []product }
	if err := s.ask(ctx, http.MethodGet, "/v1/inventory/products?limit=100", nil, &page); err != nil {
		return nil, err
	}
	if len(page.Items) == 0 {
		return nil, errors.New("the shop has no product")
	}
	return page.Items, nil
}

// SKUs returns the products with enough pieces on hand. It returns ErrSoldOut if there are none.
func (s Shop) SKUs(ctx context.Context) (skus []string, err error) {
	products, err := s.products(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range products {
		if p.OnHand >= enough {
			skus = append(skus, p.SKU)
		}
	}
	if len(skus) == 0 {
		return nil, ErrSoldOut
	}
	return skus, nil
}

// Restock adds pieces to each product of the first page, and returns how many products these are.
func (s Shop) Restock(ctx context.Context, pieces int) (restocked int, err error) {
	products, err := s.products(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range products {
		path := "/v1/inventory/products/" + url.PathEscape(p.SKU) + "/restock"
		if err := s.ask(ctx, http.MethodPost, path, map[string]int{"quantity": pieces}, &product{}); err != nil {
			return restocked, err
		}
		restocked++
	}
	return restocked, nil
}

// Follow polls the order until it has ended, and returns its status: confirmed or cancelled.
func (s Shop) Follow(ctx context.Context, id string, pause time.Duration) (status string, err error) {
	for {
		var order struct{ Status string }
		if err := s.ask(ctx, http.MethodGet, "/v1/orders/"+id, nil, &order); err != nil {
			return "", err
		}
		if order.Status == "confirmed" || order.Status == "cancelled" {
			return order.Status, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(pause):
		}
	}
}

type statusError struct {
	asked, status string
	code          int
}

func (e statusError) Error() string { return e.asked + ": " + e.status }

var client = &http.Client{Timeout: timeout}

// ask sends one request, with the body as JSON unless it is nil, and a new key unless it is a GET.
func (s Shop) ask(ctx context.Context, method, path string, body, answer any) error {
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			return err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.URL, "/")+path, &sent)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	if method != http.MethodGet {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", uuid.NewString())
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	decodeErr := json.NewDecoder(response.Body).Decode(answer)
	if response.StatusCode != http.StatusOK {
		return errors.Join(statusError{method + " " + path, response.Status, response.StatusCode}, response.Body.Close())
	}
	if decodeErr != nil {
		decodeErr = fmt.Errorf("%s %s: %w", method, path, decodeErr)
	}
	return errors.Join(decodeErr, response.Body.Close())
}
