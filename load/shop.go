package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Shop asks what any customer can ask.
type Shop struct {
	URL   string
	Token string // of a customer
}

// enough pieces of a product are on hand for a run not to sell it out at once.
const enough = 100

// SKUs are products that can be ordered in numbers.
func (s Shop) SKUs(ctx context.Context) (skus []string, err error) {
	var page struct {
		Items []struct {
			SKU    string `json:"sku"`
			OnHand int64  `json:"on_hand"`
		} `json:"items"`
	}
	if err := s.get(ctx, "/v1/inventory/products?limit=100", &page); err != nil {
		return nil, err
	}
	for _, p := range page.Items {
		if p.OnHand >= enough {
			skus = append(skus, p.SKU)
		}
	}
	if len(skus) == 0 {
		return nil, fmt.Errorf("no product of the shop has %d pieces on hand: restock some", enough)
	}
	return skus, nil
}

// Follow asks for the order again and again, with the pause in between, until it has ended, and returns how: confirmed or cancelled.
func (s Shop) Follow(ctx context.Context, id string, pause time.Duration) (status string, err error) {
	for {
		var order struct{ Status string }
		if err := s.get(ctx, "/v1/orders/"+id, &order); err != nil {
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

var client = &http.Client{Timeout: timeout}

func (s Shop) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(s.URL, "/")+path, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	decodeErr := json.NewDecoder(response.Body).Decode(answer)
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("GET %s: %s", path, response.Status), response.Body.Close())
	}
	return errors.Join(decodeErr, response.Body.Close())
}
