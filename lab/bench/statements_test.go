package bench

import (
	"maps"
	"regexp"
	"testing"

	"github.com/jackc/pgx/v5"
)

// placementStatements are what the shop sends to PostgreSQL for one order, in their order: the
// look-up of the Idempotency-Key, the quote, and the transaction. They are repeated here and not
// called, because the reference is to need nothing of the shop; who changes the shop's
// (platform/idempotency, modules/inventory/queries.sql, modules/orders/queries.sql,
// Outbox.PublishTx) changes them here. What they write is compared with what the shop writes, table
// by table, before each run; what they only read is not.
//
// An @name is a parameter. Those of an order are in orderValues; @id, @event and @key are new for
// each.
var placementStatements = []string{
	storedAnswer,
	`SELECT sku, name, price, currency FROM products WHERE sku = ANY (@skus::text[]) ORDER BY sku`,
	`BEGIN`,
	`SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(E'\n', 'idempotency', current_schema(), @scope::text, @key::text), 0))`,
	storedAnswer,
	`INSERT INTO orders (id, customer_id, email, payment_token, status, total, currency, version, deadline, created_at, updated_at)
		VALUES (@id, @customer_id, @email, @payment_token, 'placed', @total, @currency, 1, @deadline, @now, @now)`,
	`INSERT INTO lines (order_id, position, sku, name, quantity, unit_price)
		SELECT @id, generate_series(1, cardinality(@skus::text[])), unnest(@skus::text[]), unnest(@names::text[]),
			unnest(@quantities::integer[]), unnest(@unit_prices::bigint[])`,
	`INSERT INTO outbox (id, topic, key, payload, headers)
		VALUES (@event, 'orders.placed.v1', @id::text, @payload, @headers)`,
	`INSERT INTO outbox_pending (event_id, topic) VALUES (@event, 'orders.placed.v1')`,
	`INSERT INTO idempotency_keys (scope, key, request_hash, answer) VALUES (@scope, @key, @request_hash, @answer)`,
	`COMMIT`,
}

const storedAnswer = `SELECT request_hash, answer FROM idempotency_keys WHERE scope = @scope AND key = @key`

// orderValues reads the parameters from an order that the shop has stored, so that pgbench writes
// rows of the same size.
const orderValues = `
	SELECT o.customer_id, o.email, o.payment_token, o.total::text, o.currency, o.deadline::text, o.created_at::text AS now,
		array_agg(l.sku ORDER BY position)::text AS skus, array_agg(l.name ORDER BY position)::text AS names,
		array_agg(l.quantity ORDER BY position)::text AS quantities, array_agg(l.unit_price ORDER BY position)::text AS unit_prices,
		b.payload::text, b.headers::text, k.scope, k.request_hash::text, k.answer::text
	FROM orders.orders o
	JOIN orders.lines l ON l.order_id = o.id
	JOIN orders.outbox b ON b.key = o.id::text
	JOIN orders.idempotency_keys k ON position(o.id::text IN convert_from(k.answer, 'UTF8')) > 0
	WHERE o.id = $1
	GROUP BY o.id, b.id, k.scope, k.key`

var parameter = regexp.MustCompile(`@\w+`)

// compareStatements places an order over HTTP and one by the statements, and fails when they did
// not write the same. It returns the values of the first.
func (s *shop) compareStatements(t *testing.T) values {
	t.Helper()
	before := s.tables(t)
	of := s.orderValues(t)
	between := s.tables(t)
	s.pgbench(t, of, false, "-t", "1")
	if shop, statements := between.since(before), s.tables(t).since(between); !maps.Equal(shop, statements) {
		t.Errorf("placementStatements are not the shop's any more: it wrote %v, and they wrote %v", shop, statements)
	}
	return of
}

// tables are how many rows each table has, and how long the values in them are, as text.
type tables map[string]struct{ rows, length int }

// since leaves out where nothing was written.
func (now tables) since(before tables) tables {
	written := tables{}
	for name, n := range now {
		n.rows, n.length = n.rows-before[name].rows, n.length-before[name].length
		if n.rows != 0 || n.length != 0 {
			written[name] = n
		}
	}
	return written
}

// tables are those of the modules that take part in placing an order.
func (s *shop) tables(t *testing.T) tables {
	t.Helper()
	rows, err := s.admin.Query(t.Context(),
		`SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('orders', 'inventory')`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) == 0 {
		t.Fatalf("list the tables: %d, %v", len(names), err)
	}
	all := tables{}
	for _, name := range names {
		n := all[name]
		// A time is as long as it has digits behind the point.
		err := s.admin.QueryRow(t.Context(), `SELECT count(DISTINCT t), coalesce(sum(length(v.value)) FILTER (WHERE v.key NOT LIKE '%\_at'), 0)
			FROM `+name+` AS t, LATERAL jsonb_each_text(to_jsonb(t)) AS v`).Scan(&n.rows, &n.length)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = n
	}
	return all
}
