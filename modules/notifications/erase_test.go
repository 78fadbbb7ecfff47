package notifications

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/events"
)

// An erased order leaves no address, no message and no unsent mail, whatever comes late. Another's
// stay.
func TestAnErasedOrderIsForgotten(t *testing.T) {
	t.Parallel()
	mails := newTray()
	o := setup(t, mails)
	o.Given(placed, confirmed, ordersapi.Placed{OrderID: other, Email: "eve@mail.example", Version: 1})
	if o.Count(`SELECT count(*) FROM jobs WHERE args::text ~ '\mada\M'`) != 1 {
		t.Fatal("there is no mail to forget")
	}
	err := o.DB.InTx(t.Context(), func(tx pgx.Tx) error {
		return o.module.onOrderErased(t.Context(), tx, []events.Delivery[ordersapi.Erased]{{Event: ordersapi.Erased{OrderID: order}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Given(placed, cancelled) // too late
	if found := o.Texts(`SELECT t::text FROM (SELECT recipients::text FROM recipients UNION ALL SELECT messages::text FROM messages
		UNION ALL SELECT jobs::text FROM jobs) AS t (t) WHERE t ~ '\mada\M'`); len(found) > 0 {
		t.Errorf("there still is %q", found)
	}
	if emails := o.Texts("SELECT email FROM recipients WHERE order_id = $1", other); len(emails) != 1 || emails[0] != "eve@mail.example" {
		t.Errorf("the other order's address is %q", emails)
	}
	o.Work(o.module)
	o.rest()
	if ids := mails.take(t); len(ids) > 0 {
		t.Errorf("it was mailed: %q", ids)
	}
}
