// Package paymentsapi is the contract of payments: the events that it publishes.
//
// It imports only the standard library, so that a subscriber links the contract and never the
// implementation. A field may be added; a breaking change is a new topic (.v2), published beside
// the old one until that has no subscribers.
package paymentsapi

// Money is an amount in the currency's minor units (cents for EUR) and its ISO 4217 code.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Captured is true once the provider holds the customer's money for the order.
type Captured struct {
	OrderID   string `json:"order_id"`
	PaymentID string `json:"payment_id"`
	Amount    Money  `json:"amount"`
	Version   int64  `json:"version"`
}

// Topic is the event's wire name.
func (Captured) Topic() string { return "payments.captured.v1" }

// Aggregate names the order that was paid for, and the payment's version.
func (e Captured) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Declined is true once the provider has refused to take the money. Nothing was taken.
type Declined struct {
	OrderID   string `json:"order_id"`
	PaymentID string `json:"payment_id"`
	Reason    string `json:"reason"`
	Version   int64  `json:"version"`
}

// Topic is the event's wire name.
func (Declined) Topic() string { return "payments.declined.v1" }

// Aggregate names the order that was not paid for, and the payment's version.
func (e Declined) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Refunded is true once the provider has given the captured money back in full.
type Refunded struct {
	OrderID   string `json:"order_id"`
	PaymentID string `json:"payment_id"`
	Amount    Money  `json:"amount"`
	Version   int64  `json:"version"`
}

// Topic is the event's wire name.
func (Refunded) Topic() string { return "payments.refunded.v1" }

// Aggregate names the order whose money went back, and the payment's version.
func (e Refunded) Aggregate() (id string, version int64) { return e.OrderID, e.Version }
