// Package inventoryapi is the contract of inventory: the events that it publishes, and its quotes.
//
// It imports only the standard library, so that a subscriber links the contract and never the
// implementation. A field may be added; a breaking change is a new topic (.v2), published beside
// the old one until that has no subscribers.
package inventoryapi

// Reserved is true once every line of the order is set aside in stock.
type Reserved struct {
	OrderID string `json:"order_id"`
	Version int64  `json:"version"`
}

// Topic is the event's wire name.
func (Reserved) Topic() string { return "inventory.reserved.v1" }

// Aggregate names the order whose reservation this is, and the reservation's version.
func (e Reserved) Aggregate() (id string, version int64) { return e.OrderID, e.Version }

// Rejected is true once inventory has decided to set nothing aside for the order.
// Reason is out_of_stock; tolerate others.
type Rejected struct {
	OrderID string `json:"order_id"`
	Reason  string `json:"reason"`
	Version int64  `json:"version"`
}

// Topic is the event's wire name.
func (Rejected) Topic() string { return "inventory.rejected.v1" }

// Aggregate names the order whose reservation this is, and the reservation's version.
func (e Rejected) Aggregate() (id string, version int64) { return e.OrderID, e.Version }
