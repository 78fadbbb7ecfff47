package load

import (
	"cmp"
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

	"example.com/shop/lab/ask"
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
	err := s.ask(ctx, "/v1/orders?limit=1", ask.Request{}, &page)
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
	if err := s.ask(ctx, "/v1/inventory/products?limit=100", ask.Request{}, &page); err != nil {
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
		add := ask.Request{Method: http.MethodPost, Key: uuid.NewString(), Body: fmt.Sprintf(`{"quantity":%d}`, pieces)}
		if err := s.ask(ctx, path, add, &product{}); err != nil {
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
		if err := s.ask(ctx, "/v1/orders/"+id, ask.Request{}, &order); err != nil {
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
	asked string
	code  int
}

func (e statusError) Error() string {
	return fmt.Sprintf("%s: %d %s", e.asked, e.code, http.StatusText(e.code))
}

var client = &http.Client{Timeout: timeout}

// ask sends the request to a path of the shop, and reads the JSON of its answer.
func (s Shop) ask(ctx context.Context, path string, r ask.Request, answer any) error {
	r.URL, r.Token = strings.TrimRight(s.URL, "/")+path, s.Token
	asked := cmp.Or(r.Method, http.MethodGet) + " " + path
	got, err := r.Send(ctx, client)
	switch {
	case got.Status != 0 && got.Status != http.StatusOK:
		return statusError{asked, got.Status}
	case err != nil:
		return err
	}
	if err := json.Unmarshal(got.Body, answer); err != nil {
		return fmt.Errorf("%s: %w", asked, err)
	}
	return nil
}
