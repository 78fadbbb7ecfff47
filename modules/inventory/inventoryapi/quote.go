package inventoryapi

// Money is an amount in the currency's minor units (cents for EUR) and its ISO 4217 code.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Quote is the name and the price of one product at the moment of asking. It reserves nothing.
// A sku that inventory does not know has no quote in the answer.
type Quote struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	Price Money  `json:"price"`
}
