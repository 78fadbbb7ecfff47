package bench

import "regexp"

// placementStatements are what the shop sends to PostgreSQL for one order, in their order: the look-up of the Idempotency-Key, the quote, and
// the transaction. They are repeated here and not called, because the references are to need nothing of the shop; whoever changes the shop's
// (platform/idempotency, modules/inventory/queries.sql, modules/orders/queries.sql, events.PublishTx) changes them here.
//
// An @name is a parameter. Those of an order are in orderValues; @id, @event and @key are new for each.
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
	`INSERT INTO outbox (id, topic, key, payload, headers) VALUES (@event, 'orders.placed.v1', @id::text, @payload, @headers)`,
	`INSERT INTO idempotency_keys (scope, key, request_hash, answer) VALUES (@scope, @key, @request_hash, @answer)`,
	`COMMIT`,
}

const storedAnswer = `SELECT request_hash, answer FROM idempotency_keys WHERE scope = @scope AND key = @key`

// orderValues reads the parameters from an order that the shop has stored, so that the references write rows of the same size.
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
