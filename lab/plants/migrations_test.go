package plants

func init() {
	plants["migrations"] = set{
		refuses: []plant{
			{name: "a released migration is edited", file: "migrations/orders/0001_orders.sql", text: "-- more",
				want: "migrations/orders/0001_orders.sql: is not as it was released"},
			{name: "a released migration is deleted", file: "platform/postgres/schema/0001_events.sql",
				want: "platform/postgres/schema/0001_events.sql: is not as it was released"},
			{name: "the sums are gone", file: "architecture/contracts/released/migrations.sum", want: "migrations.sum: is missing"},
			{name: "two with one number in other digits", file: "migrations/orders/1_parcels.sql", text: "-- +goose Up\nSELECT 1;",
				want: "migrations/orders/1_parcels.sql: has the number of 0001_orders.sql"},
			{name: "a number below the released", file: "migrations/orders/0000_parcels.sql", text: "-- +goose Up\nSELECT 1;",
				want: "has a number below one that was released"},
			{name: "two with one number", file: "migrations/orders/0001_parcels.sql", text: "-- +goose Up\nSELECT 1;",
				want: "migrations/orders/0001_parcels.sql: has the number of 0001_orders.sql"},
			{name: "an index that stops writers", file: "migrations/orders/0004_parcels.sql", text: "-- +goose Up\nCREATE INDEX orders_total ON orders (total);",
				want: "makes an index of orders while all who write to it wait"},
			{name: "a constraint whose index stops writers", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nALTER TABLE orders ADD CONSTRAINT orders_total UNIQUE (total);",
				want: "makes an index of orders while all who write to it wait"},
			{name: "a column whose index stops writers", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nALTER TABLE orders ADD COLUMN parcel uuid UNIQUE;",
				want: "makes an index of orders while all who write to it wait"},
			{name: "a constraint that stops writers before one that does not", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nALTER TABLE orders ADD UNIQUE (total), ADD CONSTRAINT orders_id UNIQUE USING INDEX orders_id;",
				want: "makes an index of orders while all who write to it wait"},
		},
		accepts: []plant{
			{name: "an index that stops nobody", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY orders_total ON orders (total);"},
			{name: "an index without a name that stops nobody", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY ON orders (total);"},
			{name: "a constraint that takes an index", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nALTER TABLE orders ADD CONSTRAINT orders_total UNIQUE USING INDEX orders_total;"},
			{name: "a constraint with such a word in a text", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nALTER TABLE orders ADD CONSTRAINT kind CHECK (status <> 'unique');"},
			{name: "a table with its index", file: "migrations/orders/0004_parcels.sql",
				text: "-- +goose Up\nCREATE TABLE parcels (id int);\nCREATE INDEX parcels_id ON parcels (id);"},
			{name: "the next migration", file: "migrations/orders/0004_parcels.sql", text: "-- +goose Up\nSELECT 1;"},
			{name: "sample data", file: "migrations/inventory/seed/products.sql", text: "-- more"},
		},
	}
}
