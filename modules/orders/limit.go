package orders

import (
	"errors"

	"example.com/shop/modules/orders/internal/db"
)

var (
	errTooManyOpen   = errors.New("the customer has too many open orders")
	errTooManyPieces = errors.New("the customer's open orders hold too many pieces")
)

// admit returns an error if the order would take its customer over a limit, and otherwise adds it
// to what its customer has open. An open order holds stock that others cannot buy, and costs
// nothing.
//
// What is open was counted in the transaction that places the order, without a lock: one for each
// customer would make their orders wait for each other's commits. So transactions at the same time
// do not see each other's orders. There are two in each process (postgres.Group), and each may
// admit up to the limit.
func (c Config) admit(o newOrder, open map[string]db.CountOpenRow) error {
	held := open[o.customerID]
	held.Orders++
	held.Pieces += pieces(o.priced)
	switch {
	case held.Orders > int64(c.MaxOpen):
		return errTooManyOpen
	case held.Pieces > int64(c.MaxPieces):
		return errTooManyPieces
	}
	open[o.customerID] = held
	return nil
}

func pieces(lines []pricedLine) (n int64) {
	for _, l := range lines {
		n += int64(l.quantity)
	}
	return n
}
