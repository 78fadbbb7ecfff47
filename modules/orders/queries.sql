-- The key is new, so nothing can wait for this row.
-- name: InsertOrder :exec
INSERT INTO orders (id, customer_id, email, payment_token, status, total, currency, version, deadline, created_at, updated_at)
VALUES (@id, @customer_id, @email, @payment_token, 'placed', @total, @currency, 1, @deadline, @now, @now);

-- All lines in one statement; the lists are unrolled side by side.
-- name: InsertLines :exec
INSERT INTO lines (order_id, position, sku, name, quantity, unit_price)
SELECT @order_id::uuid, generate_series(1, cardinality(@skus::text[])), unnest(@skus::text[]), unnest(@names::text[]),
    unnest(@quantities::integer[]), unnest(@unit_prices::bigint[]);

-- Moves an order only from where the saga allows it: the row lock makes two movers take turns, and the second finds no row.
-- An order without a deadline is final: nobody will be told its token any more, so the token goes.
-- name: MoveOrder :one
UPDATE orders
SET status = @to_status, reason = @reason, deadline = sqlc.narg(deadline)::timestamptz,
    payment_token = CASE WHEN sqlc.narg(deadline)::timestamptz IS NULL THEN '' ELSE payment_token END, version = version + 1, updated_at = @now
WHERE id = @id AND status = ANY (@from_statuses::text[])
RETURNING id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at;

-- Skips rows that somebody is moving this very moment: they are not overdue any more, or will be found the next time.
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

-- Ids are UUIDv7, so their order is that of placing: newest first, and a page begins after the last one of the page before.
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
