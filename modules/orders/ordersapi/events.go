// Package ordersapi is the contract of orders: the events that it publishes.
//
// It imports only the standard library, so that a subscriber links the contract and never the
// implementation. A field may be added; a breaking change is a new topic (.v2), published beside
// the old one until that has no subscribers.
package ordersapi

// Money is an amount in the currency's minor units (cents for EUR) and its ISO 4217 code.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Line is one product of an order.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

// Placed is true once the customer's order is stored. Nothing is reserved and nothing is paid yet.
type Placed struct {
	OrderID    string `json:"order_id"`
	CustomerID string `json:"customer_id"`
	Email      string `json:"email"`
	Lines      []Line `json:"lines"`
	Total      Money  `json:"total"`
	Version    int64  `json:"version"`
}

// Topic is the event's wire name.
func (Placed) Topic() string { return "orders.placed.v1" }

// Aggregate names the order and its version when the fact became true.
func (e Placed) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// PaymentDue is true once stock is reserved for the order: the amount may be captured.
// PaymentToken stands for a card at the payment provider; it is not card data.
type PaymentDue struct {
	OrderID      string `json:"order_id"`
	Amount       Money  `json:"amount"`
	PaymentToken string `json:"payment_token"`
	Version      int64  `json:"version"`
}

// Topic is the event's wire name.
func (PaymentDue) Topic() string { return "orders.payment_due.v1" }

// Aggregate names the order and its version when the fact became true.
func (e PaymentDue) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Confirmed is true once the order is reserved and paid. It is final.
type Confirmed struct {
	OrderID string `json:"order_id"`
	Total   Money  `json:"total"`
	Version int64  `json:"version"`
}

// Topic is the event's wire name.
func (Confirmed) Topic() string { return "orders.confirmed.v1" }

// Aggregate names the order and its version when the fact became true.
func (e Confirmed) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Cancelled is true once the order will never be confirmed. It is final: stock and money held for
// it are given back. Reason is out_of_stock, declined, expired or customer; tolerate others.
type Cancelled struct {
	OrderID string `json:"order_id"`
	Reason  string `json:"reason"`
	Version int64  `json:"version"`
}

// Topic is the event's wire name.
func (Cancelled) Topic() string { return "orders.cancelled.v1" }

// Aggregate names the order and its version when the fact became true.
func (e Cancelled) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Erased is true once the order no longer names its customer: staff asked for that, or the order is
// older than orders are kept. It comes after Confirmed or Cancelled. Each module erases what it has
// of the order's customer.
type Erased struct {
	OrderID string `json:"order_id"`
	Version int64  `json:"version"`
}

// Topic is the event's wire name.
func (Erased) Topic() string { return "orders.erased.v1" }

// Aggregate names the order and its version when the fact became true.
func (e Erased) Aggregate() (id string, version int64) { return e.OrderID, e.Version }
