package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"example.com/shop/modules/inventory/internal/db"
	"example.com/shop/modules/inventory/inventoryapi"
	"example.com/shop/platform/idempotency"
	"example.com/shop/platform/web"
)

// Routes registers the operations of customers, staff and services.
func (m *Module) Routes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-products", Method: http.MethodGet, Path: "/v1/inventory/products",
		Summary: "List products", Security: web.Public,
	}, m.handleList)
	huma.Register(api, huma.Operation{
		OperationID: "get-product", Method: http.MethodGet, Path: "/v1/inventory/products/{sku}",
		Summary: "Show a product", Security: web.Public,
	}, m.handleGet)
	huma.Register(api, huma.Operation{
		OperationID: "restock-product", Method: http.MethodPost, Path: "/v1/inventory/products/{sku}/restock",
		Summary: "Add pieces to a product's stock", Security: web.Staff,
	}, m.handleRestock)
	huma.Register(api, huma.Operation{
		OperationID: "quote-products", Method: http.MethodPost, Path: "/v1/inventory/quotes",
		Summary: "Quote name and price of products", Security: web.Service,
	}, m.handleQuote)
}

// productJSON is a product with all its counts: on_hand + reserved + shipped = initial + restocked.
type productJSON struct {
	SKU       string             `json:"sku"`
	Name      string             `json:"name"`
	Price     inventoryapi.Money `json:"price"`
	OnHand    int64              `json:"on_hand" doc:"pieces that can be ordered"`
	Reserved  int64              `json:"reserved" doc:"pieces promised to orders that are not settled"`
	Shipped   int64              `json:"shipped" doc:"pieces sent to customers"`
	Initial   int64              `json:"initial" doc:"pieces there were at first"`
	Restocked int64              `json:"restocked" doc:"pieces that were added since"`
}

// position is what a cursor holds: the last sku of the page before.
type position struct {
	SKU string `json:"sku"`
}

type listOutput struct {
	Body web.Page[productJSON]
}

func (m *Module) handleList(ctx context.Context, in *struct{ web.Paging }) (*listOutput, error) {
	var from position
	if err := web.DecodeCursor(in.Cursor, &from); err != nil {
		return nil, problem(ctx, err)
	}
	// One row more than is shown proves that there is a next page.
	rows, err := db.New(m.db).ListProducts(ctx, db.ListProductsParams{After: from.SKU, PageSize: int64(in.Limit + 1)})
	if err != nil {
		return nil, problem(ctx, fmt.Errorf("list products: %w", err))
	}
	last := func(row db.ListProductsRow) any { return position{SKU: row.Sku} }
	return &listOutput{Body: web.NewPage(rows, in.Limit, toJSON, last)}, nil
}

type productOutput struct {
	Body productJSON
}

func (m *Module) handleGet(ctx context.Context, in *struct {
	SKU string `path:"sku"`
}) (*productOutput, error) {
	row, err := db.New(m.db).GetProduct(ctx, in.SKU)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, problem(ctx, errUnknownSKU)
	case err != nil:
		return nil, problem(ctx, fmt.Errorf("get product: %w", err))
	}
	return &productOutput{Body: toJSON(db.ListProductsRow(row))}, nil
}

type restockInput struct {
	idempotency.Header
	SKU  string `path:"sku"`
	Body struct {
		Quantity int64 `json:"quantity" minimum:"1" maximum:"1000000"`
	}
}

// restockOutput is the response, which is stored under the key as it is.
type restockOutput struct {
	Status int
	Body   productJSON
}

func (m *Module) handleRestock(ctx context.Context, in *restockInput) (*restockOutput, error) {
	// The sku is part of the key's scope, so the same key may be used for another product.
	route := "POST /v1/inventory/products/" + in.SKU + "/restock"
	key := idempotency.NewKey(web.PrincipalFrom(ctx).Subject, route, in.IdempotencyKey, in.Body)
	answer, err := m.restock(ctx, key, in.SKU, in.Body.Quantity)
	if err != nil {
		return nil, problem(ctx, err)
	}
	return &answer, nil
}

type quoteInput struct {
	Body struct {
		SKUs []string `json:"skus" minItems:"1" maxItems:"100"`
	}
}

type quoteOutput struct {
	Body struct {
		Items []inventoryapi.Quote `json:"items"`
	}
}

func (m *Module) handleQuote(ctx context.Context, in *quoteInput) (*quoteOutput, error) {
	quotes, err := m.Quote(ctx, in.Body.SKUs)
	if err != nil {
		return nil, problem(ctx, err)
	}
	out := &quoteOutput{}
	out.Body.Items = quotes
	return out, nil
}

// toJSON maps a product's row. The rows of the other queries convert to this one.
func toJSON(row db.ListProductsRow) productJSON {
	return productJSON{
		SKU: row.Sku, Name: row.Name, Price: inventoryapi.Money{Amount: row.Price, Currency: row.Currency},
		OnHand: row.OnHand, Reserved: row.Reserved, Shipped: row.Shipped, Initial: row.Initial, Restocked: row.Restocked,
	}
}

// problem maps the module's errors to responses. The platform maps its own, and logs the rest.
func problem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errUnknownSKU):
		return web.Problem(ctx, http.StatusNotFound, "product-not-found",
			"There is no product with this sku. See GET /v1/inventory/products.")
	default:
		return err
	}
}
