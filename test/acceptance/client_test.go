package acceptance

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// These types repeat the wire format on purpose, so that a change of it fails here.
type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

type order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Reason string `json:"reason"`
	Total  money  `json:"total"`
	Lines  []struct {
		SKU       string `json:"sku"`
		Name      string `json:"name"`
		Quantity  int    `json:"quantity"`
		UnitPrice int64  `json:"unit_price"`
	} `json:"lines"`
}

type product struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Price     money  `json:"price"`
	Initial   int64  `json:"initial"`
	Restocked int64  `json:"restocked"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Shipped   int64  `json:"shipped"`
}

type payment struct {
	ID      string `json:"id"`
	OrderID string `json:"order_id"`
	Status  string `json:"status"`
	Amount  money  `json:"amount"`
}

type notification struct {
	Kind      string `json:"kind"`
	Status    string `json:"status"`
	MessageID string `json:"message_id"`
}

type mail struct {
	To        string `json:"to"`
	Subject   string `json:"subject"`
	MessageID string `json:"message_id"`
	Body      string `json:"body"`
}

type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`
}

type problem struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"`
	TraceID string `json:"trace_id"`
}

// answer is a response with its whole body.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// request is an HTTP request. The zero value of a field sends nothing.
type request struct {
	method, path string
	token        string
	key          string // Idempotency-Key
	body         any    // a string is sent unchanged
	header       http.Header
}

func (r request) send(t *testing.T) answer {
	t.Helper()
	var body io.Reader
	if r.body != nil {
		text, ok := r.body.(string)
		if !ok {
			encoded, err := json.Marshal(r.body)
			if err != nil {
				t.Fatal(err)
			}
			text = string(encoded)
		}
		body = strings.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, shop.url+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return answer{response.StatusCode, response.Header, text}
}

// decode checks the status and decodes the body.
func decode[T any](t *testing.T, a answer, status int) T {
	t.Helper()
	var out T
	if a.status != status {
		t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	if err := decoder.Decode(&out); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
	return out
}

func get[T any](t *testing.T, token, path string) T {
	t.Helper()
	return decode[T](t, request{method: http.MethodGet, path: path, token: token}.send(t), http.StatusOK)
}

// customer is a customer with a mailbox of its own.
type customer struct {
	token, email string
}

func newCustomer(t *testing.T) customer {
	t.Helper()
	name := "c" + uuid.NewString()
	return customer{token: token{subject: name, role: "customer"}.mint(), email: name + "@mail.example"}
}

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type placement struct {
	Email        string `json:"email"`
	PaymentToken string `json:"payment_token"`
	Lines        []line `json:"lines"`
}

func (c customer) place(t *testing.T, paymentToken string, lines ...line) order {
	t.Helper()
	a := request{
		method: http.MethodPost, path: "/v1/orders", token: c.token, key: uuid.NewString(),
		body: placement{c.email, paymentToken, lines},
	}.send(t)
	o := decode[order](t, a, http.StatusCreated)
	if got, want := a.header.Get("Location"), "/v1/orders/"+o.ID; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	return o
}

func (c customer) order(t *testing.T, id string) order {
	t.Helper()
	return get[order](t, c.token, "/v1/orders/"+id)
}

func (c customer) cancel(t *testing.T, id string) answer {
	t.Helper()
	return request{method: http.MethodPost, path: "/v1/orders/" + id + "/cancel", token: c.token}.send(t)
}

// settled waits until the order has one of the final statuses.
func (c customer) settled(t *testing.T, id string) order {
	t.Helper()
	return eventually(t, func() (order, bool) {
		o := c.order(t, id)
		return o, o.Status == "confirmed" || o.Status == "cancelled"
	})
}

// paid waits until the order's payment has the status.
func paid(t *testing.T, id, status string) payment {
	t.Helper()
	return eventually(t, func() (payment, bool) {
		p := get[page[payment]](t, staff(), "/v1/payments?order_id="+id)
		if len(p.Items) != 1 {
			return payment{}, false
		}
		return p.Items[0], p.Items[0].Status == status
	})
}

// mailed waits until exactly these kinds were sent for the order, and are in the mailbox.
func (c customer) mailed(t *testing.T, id string, kinds ...string) []mail {
	t.Helper()
	sent := eventually(t, func() ([]notification, bool) {
		var sent []notification
		for _, n := range get[page[notification]](t, staff(), "/v1/notifications?order_id="+id).Items {
			if n.Status == "sent" {
				sent = append(sent, n)
			}
		}
		return sent, len(sent) == len(kinds)
	})
	for i, n := range sent {
		if n.Kind != kinds[i] {
			t.Errorf("notification %d is %s, want %s", i, n.Kind, kinds[i])
		}
	}
	return eventually(t, func() ([]mail, bool) {
		box := c.mailbox(t)
		return box, len(box) == len(kinds)
	})
}

func (c customer) mailbox(t *testing.T) []mail {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		shop.mailURL+"/messages?to="+url.QueryEscape(c.email), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var box page[mail]
	if err := json.NewDecoder(response.Body).Decode(&box); err != nil {
		t.Fatal(err)
	}
	return box.Items
}

func stockOf(t *testing.T, sku string) product {
	t.Helper()
	return get[product](t, "", "/v1/inventory/products/"+sku)
}

// eventually polls until ask reports true. The limit is long, since the shop promises no time.
func eventually[T any](t *testing.T, ask func() (T, bool)) T {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		got, ok := ask()
		if ok {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("it did not happen; the last answer was %+v", got)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
