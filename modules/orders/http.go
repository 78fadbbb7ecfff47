package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/modules/orders/internal/db"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/web"
)

// Routes registers the operations of customers on their orders, and the erasure of a customer.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "place-order", Method: http.MethodPost, Path: "/v1/orders", DefaultStatus: http.StatusCreated,
		Summary: "Place an order", Security: web.Customer,
	}, m.handlePlace)
	huma.Register(api, huma.Operation{
		OperationID: "list-orders", Method: http.MethodGet, Path: "/v1/orders",
		Summary: "List my orders, newest first", Security: web.Customer,
	}, m.handleList)
	huma.Register(api, huma.Operation{
		OperationID: "get-order", Method: http.MethodGet, Path: "/v1/orders/{id}",
		Summary: "Show one of my orders", Security: web.Customer,
	}, m.handleGet)
	huma.Register(api, huma.Operation{
		OperationID: "cancel-order", Method: http.MethodPost, Path: "/v1/orders/{id}/cancel",
		Summary: "Cancel one of my orders that is not confirmed yet", Security: web.Customer,
	}, m.handleCancel)
	huma.Register(api, huma.Operation{
		OperationID: "erase-customer", Method: http.MethodPost, Path: "/v1/orders/erasures",
		Summary: "Erase a customer from all their orders", Security: web.Staff,
	}, m.handleErase)
}

// placeRoute is a part of what a placement's Idempotency-Key is stored under.
const placeRoute = "POST /v1/orders"

// orderJSON is an order as its customer sees it, without payment token and mail address.
type orderJSON struct {
	ID        string          `json:"id" format:"uuid"`
	Status    string          `json:"status" enum:"placed,awaiting_payment,confirmed,cancelled"`
	Reason    string          `json:"reason,omitempty" doc:"Why it was cancelled: out_of_stock, declined, expired or customer"`
	Total     ordersapi.Money `json:"total"`
	Lines     []lineJSON      `json:"lines"`
	CreatedAt time.Time       `json:"created_at"`
}

type lineJSON struct {
	SKU       string `json:"sku"`
	Name      string `json:"name"`
	Quantity  int32  `json:"quantity"`
	UnitPrice int64  `json:"unit_price" doc:"In the minor units of the total's currency"`
}

// orderOutput is a response with one order. A placement's is stored under its idempotency key.
type orderOutput struct {
	Location string `header:"Location"`
	Body     orderJSON
}

// placeInput is a placement. Its bounds keep it to one request for quotes and one mail address.
type placeInput struct {
	idempotency.Header
	Body struct {
		Email        address          `json:"email" format:"email" maxLength:"254" doc:"Where to tell you how it went"`
		PaymentToken string           `json:"payment_token" minLength:"1" maxLength:"64" doc:"Stands for your card at the payment provider"`
		Lines        []placeInputLine `json:"lines" minItems:"1" maxItems:"50"`
	}
}

type placeInputLine struct {
	SKU      string `json:"sku" minLength:"1" maxLength:"64"`
	Quantity int    `json:"quantity" minimum:"1" maximum:"10000"`
}

// address is a mailbox and nothing around it (RFC 5321): the format email also permits a name and
// comments. Quoted names and literal hosts are legal, but few servers accept them.
type address string

var mailbox = regexp.MustCompile(`^[^\s"(),:;<>@\[\\\]\pC\pZ]+@(` + host + `\.)*` + host + `$`)

const host = `[\pL\pM\pN]([\pL\pM\pN-]{0,61}[\pL\pM\pN])?`

// Resolve checks the address, in bytes, unlike a schema. huma calls it for unreadable bodies too.
func (a address) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if a == "" || len(a) <= 254 && strings.IndexByte(string(a), '@') <= 64 && mailbox.MatchString(string(a)) {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: at.String(), Message: "expected one address, as in ada@mail.example"}}
}

func (m *Module) handlePlace(ctx context.Context, in *placeInput) (*orderOutput, error) {
	customer := web.PrincipalFrom(ctx).Subject
	p := placement{customerID: customer, email: string(in.Body.Email), paymentToken: in.Body.PaymentToken}
	for _, l := range in.Body.Lines {
		p.lines = append(p.lines, ordersapi.Line{SKU: l.SKU, Quantity: l.Quantity})
	}
	out, err := m.place(ctx, idempotency.NewKey(customer, placeRoute, in.IdempotencyKey, in.Body), p)
	if err != nil {
		switch { // the response does not say why, so the log does
		case errors.Is(err, inventoryapi.ErrDenied):
			m.log.ErrorContext(ctx, "order not taken: no order will be until SERVICE_TOKEN is renewed; has it expired?",
				"error", err)
		case errors.Is(err, errNoQuote):
			m.log.WarnContext(ctx, "order not taken", "error", err)
		}
		return nil, problem(ctx, err)
	}
	return out, nil
}

type orderInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

func (m *Module) handleGet(ctx context.Context, in *orderInput) (*orderOutput, error) {
	order, err := m.find(ctx, m.db, web.PrincipalFrom(ctx).Subject, in.ID)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return m.output(ctx, order)
}

func (m *Module) handleCancel(ctx context.Context, in *orderInput) (*orderOutput, error) {
	order, err := m.cancelOrder(ctx, web.PrincipalFrom(ctx).Subject, in.ID)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return m.output(ctx, order)
}

type eraseInput struct {
	Body struct {
		CustomerID string `json:"customer_id" minLength:"1" maxLength:"255" doc:"The subject of the customer's tokens"`
	}
}

type eraseOutput struct {
	Body struct {
		Erased int `json:"erased" doc:"How many orders named the customer"`
	}
}

func (m *Module) handleErase(ctx context.Context, in *eraseInput) (*eraseOutput, error) {
	erased, err := m.eraseCustomer(ctx, in.Body.CustomerID)
	if err != nil {
		return nil, problem(ctx, err)
	}
	out := &eraseOutput{}
	out.Body.Erased = erased
	return out, nil
}

type listOutput struct {
	Body web.Page[orderJSON]
}

func (m *Module) handleList(ctx context.Context, in *struct{ web.Paging }) (*listOutput, error) {
	before := uuid.Max // of the first page: an id that no order has
	if err := web.DecodeCursor(in.Cursor, &before); err != nil {
		return nil, problem(ctx, err)
	}
	// One row more than is shown proves that there is a next page.
	rows, err := db.New(m.db).ListOrders(ctx, db.ListOrdersParams{
		CustomerID: web.PrincipalFrom(ctx).Subject, Before: before, Most: int32(in.Limit) + 1,
	})
	if err != nil {
		return nil, problem(ctx, fmt.Errorf("list orders: %w", err))
	}
	lines, err := m.linesOf(ctx, rows...)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &listOutput{Body: web.NewPage(rows, in.Limit,
		func(o db.Order) orderJSON { return toJSON(o, lines[o.ID]) },
		func(o db.Order) any { return o.ID })}, nil
}

func (m *Module) output(ctx context.Context, order db.Order) (*orderOutput, error) {
	lines, err := m.linesOf(ctx, order)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &orderOutput{Body: toJSON(order, lines[order.ID])}, nil
}

// linesOf reads the lines of all these orders with one query.
func (m *Module) linesOf(ctx context.Context, orders ...db.Order) (map[uuid.UUID][]db.Line, error) {
	ids := make([]uuid.UUID, len(orders))
	for i, o := range orders {
		ids[i] = o.ID
	}
	rows, err := db.New(m.db).ListLines(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("list lines: %w", err)
	}
	lines := map[uuid.UUID][]db.Line{}
	for _, l := range rows {
		lines[l.OrderID] = append(lines[l.OrderID], l)
	}
	return lines, nil
}

func toJSON(o db.Order, lines []db.Line) orderJSON {
	out := orderJSON{
		ID: o.ID.String(), Status: o.Status, Reason: o.Reason, CreatedAt: o.CreatedAt.UTC(),
		Total: ordersapi.Money{Amount: o.Total, Currency: o.Currency},
		Lines: make([]lineJSON, len(lines)),
	}
	for i, l := range lines { // by position
		out.Lines[i] = lineJSON{SKU: l.Sku, Name: l.Name, Quantity: l.Quantity, UnitPrice: l.UnitPrice}
	}
	return out
}

// placedOutput makes the response to a placement from what is inserted.
func placedOutput(o newOrder) *orderOutput {
	row := db.Order{
		ID: o.id, Status: string(placed), Total: o.total.Amount, Currency: o.total.Currency, CreatedAt: o.placedAt,
	}
	lines := make([]db.Line, len(o.priced))
	for i, l := range o.priced {
		lines[i] = db.Line{Sku: l.sku, Name: l.name, Quantity: l.quantity, UnitPrice: l.unitPrice}
	}
	return &orderOutput{Location: "/v1/orders/" + o.id.String(), Body: toJSON(row, lines)}
}

// problem maps the module's errors to responses. The platform maps its own, and logs the rest.
func problem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errNotFound):
		return web.Problem(ctx, http.StatusNotFound, "order-not-found",
			"You have no order with this id. List yours with GET /v1/orders.")
	case errors.Is(err, errConfirmed):
		return web.Problem(ctx, http.StatusConflict, "order-confirmed",
			"The order is confirmed and can no longer be cancelled.")
	case errors.Is(err, errOpenOrders):
		return web.Problem(ctx, http.StatusConflict, "open-orders",
			"The customer has open orders. Wait until they are confirmed or cancelled, or have the customer cancel them, and send it again.")
	case errors.Is(err, errUnknownSKU):
		return web.Problem(ctx, http.StatusUnprocessableEntity, "unknown-sku",
			"A line names a product that does not exist. See GET /v1/inventory/products.")
	case errors.Is(err, errMixedCurrencies):
		return web.Problem(ctx, http.StatusUnprocessableEntity, "mixed-currencies",
			"The products are priced in different currencies. Place one order for each currency.")
	case errors.Is(err, errTotalTooLarge):
		return web.Problem(ctx, http.StatusUnprocessableEntity, "total-too-large",
			"The total is too large. Split the order.")
	case errors.Is(err, errNoQuote):
		return huma.ErrorWithHeaders(web.Problem(ctx, http.StatusServiceUnavailable, "inventory-unavailable",
			"The products cannot be priced at the moment. Send the request again, with the same Idempotency-Key."),
			http.Header{"Retry-After": {"2"}}) // seconds
	case errors.Is(err, errTooManyOpen):
		return tooMany(ctx, "too-many-open-orders",
			"You have as many open orders as one customer may have. Wait until one is confirmed or cancelled, or cancel one.")
	case errors.Is(err, errTooManyPieces):
		return tooMany(ctx, "too-many-pieces",
			"With this order your open orders would hold more pieces than one customer may have. Order fewer, or wait until one is confirmed or cancelled.")
	case errors.Is(err, errNothingToPay):
		return web.Problem(ctx, http.StatusUnprocessableEntity, "nothing-to-pay",
			"All of it is free, and we cannot take an order without a payment. Add something that has a price.")
	default:
		return err
	}
}

// tooMany is the problem of a customer who has to wait for an order to end, which takes a moment.
func tooMany(ctx context.Context, kind, detail string) error {
	return huma.ErrorWithHeaders(web.Problem(ctx, http.StatusTooManyRequests, kind, detail),
		http.Header{"Retry-After": {"5"}}) // seconds
}
