-- The lists are unrolled side by side. The ids are new, so nothing can wait for these rows.
-- name: InsertOrders :exec
INSERT INTO orders (id, customer_id, email, payment_token, status, total, currency, version, deadline, created_at, updated_at)
SELECT unnest(@ids::uuid[]), unnest(@customer_ids::text[]), unnest(@emails::text[]), unnest(@payment_tokens::text[]),
    'placed', unnest(@totals::bigint[]), unnest(@currencies::text[]), 1,
    unnest(@deadlines::timestamptz[]), unnest(@times::timestamptz[]), unnest(@times::timestamptz[]);

-- The lines of all these orders.
-- name: InsertLines :exec
INSERT INTO lines (order_id, position, sku, name, quantity, unit_price)
SELECT unnest(@order_ids::uuid[]), unnest(@positions::integer[]), unnest(@skus::text[]), unnest(@names::text[]),
    unnest(@quantities::integer[]), unnest(@unit_prices::bigint[]);

-- Moves orders only from where the saga allows it: the row lock makes two movers take turns, and
-- the second does not find the row. The token goes with the deadline: no event of a final order has
-- it.
-- name: MoveOrders :many
UPDATE orders
SET status = @to_status, reason = @reason, version = version + 1, updated_at = @now, deadline = sqlc.narg(deadline),
    payment_token = CASE WHEN sqlc.narg(deadline)::timestamptz IS NULL THEN '' ELSE payment_token END
WHERE id = ANY (@ids::uuid[]) AND status = ANY (@from_statuses::text[])
RETURNING id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at;

-- Skips rows that another transaction is moving: they are final then, or are found the next time.
-- name: LockOverdueOrders :many
SELECT id
FROM orders
WHERE deadline <= @now
ORDER BY deadline
LIMIT @most
FOR UPDATE SKIP LOCKED;

-- Another customer's order is not found.
-- name: GetOrder :one
SELECT id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at
FROM orders
WHERE id = @id AND customer_id = @customer_id;

-- Ids are UUIDv7, so their order is that of placing: newest first, and a page begins after the last
-- one of the page before.
-- name: ListOrders :many
SELECT id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at
FROM orders
WHERE customer_id = @customer_id AND id < @before
ORDER BY id DESC
LIMIT @most;

-- One statement for a whole page of orders.
-- name: ListLines :many
SELECT order_id, position, sku, name, quantity, unit_price
FROM lines
WHERE order_id = ANY (@order_ids::uuid[])
ORDER BY order_id, position;
