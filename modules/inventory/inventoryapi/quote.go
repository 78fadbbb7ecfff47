package inventoryapi

// Money is an amount in the currency's minor units (cents for EUR) and its ISO 4217 code.
type Money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Quote is the name and the current price of one product. It reserves nothing.
type Quote struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	Price Money  `json:"price"`
}
