-- Reads what these customers have open. Takes no lock: see admit.
-- name: CountOpen :many
SELECT c.customer_id, o.orders, o.pieces
FROM (SELECT unnest(@customer_ids::text[])::text AS customer_id) AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS orders, coalesce(sum(orders.pieces), 0)::bigint AS pieces
    FROM orders
    WHERE orders.customer_id = c.customer_id AND orders.deadline IS NOT NULL
) AS o;

-- Inserts one row per place of the lists. The ids are new, so no other transaction waits for them.
-- name: InsertOrders :exec
INSERT INTO orders (id, customer_id, email, payment_token, status, total, currency, version, deadline, created_at, updated_at, pieces)
SELECT unnest(@ids::uuid[]), unnest(@customer_ids::text[]), unnest(@emails::text[]), unnest(@payment_tokens::text[]),
    'placed', unnest(@totals::bigint[]), unnest(@currencies::text[]), 1,
    unnest(@deadlines::timestamptz[]), unnest(@times::timestamptz[]), unnest(@times::timestamptz[]), unnest(@pieces::bigint[]);

-- Inserts the lines of all these orders.
-- name: InsertLines :exec
INSERT INTO lines (order_id, position, sku, name, quantity, unit_price)
SELECT unnest(@order_ids::uuid[]), unnest(@positions::integer[]), unnest(@skus::text[]), unnest(@names::text[]),
    unnest(@quantities::integer[]), unnest(@unit_prices::bigint[]);

-- Moves only orders in a state where the move starts: the row lock serialises two moves, and the
-- second does not find the row. A final order has neither deadline nor token.
-- name: MoveOrders :many
UPDATE orders
SET status = @to_status, reason = @reason, version = version + 1, updated_at = @now, deadline = sqlc.narg(deadline),
    payment_token = CASE WHEN sqlc.narg(deadline)::timestamptz IS NULL THEN '' ELSE payment_token END
WHERE id = ANY (@ids::uuid[]) AND status = ANY (@from_statuses::text[])
RETURNING id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at, pieces;

-- Locks the orders that name the customer, in the order of their ids, so that two erasures do not
-- deadlock. An order that is placed meanwhile is a new one, and stays.
-- name: LockOrdersOf :many
SELECT id, (deadline IS NOT NULL)::boolean AS open
FROM orders
WHERE customer_id = @customer_id
ORDER BY id
FOR UPDATE;

-- Reads final orders that still name a customer, the longest final first. Several processes poll.
-- name: LockOldOrders :many
SELECT id
FROM orders
WHERE deadline IS NULL AND customer_id <> '' AND updated_at < @before
ORDER BY updated_at
LIMIT @most
FOR UPDATE SKIP LOCKED;

-- Its callers have locked the orders, which are final. No token has an empty subject, so nobody is
-- the customer of such an order. Amounts and times stay.
-- name: EraseOrders :many
UPDATE orders
SET customer_id = '', email = '', version = version + 1, updated_at = @now
WHERE id = ANY (@ids::uuid[]) AND customer_id <> ''
RETURNING id, version;

-- Skips rows that another transaction is moving. The next poll finds those still overdue.
-- name: LockOverdueOrders :many
SELECT id
FROM orders
WHERE deadline <= @now
ORDER BY deadline
LIMIT @most
FOR UPDATE SKIP LOCKED;

-- Does not find another customer's order.
-- name: GetOrder :one
SELECT id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at, pieces
FROM orders
WHERE id = @id AND customer_id = @customer_id;

-- Ids are UUIDv7, so this is newest first. A page begins after the last order of the page before.
-- name: ListOrders :many
SELECT id, customer_id, email, payment_token, status, reason, total, currency, version, deadline, created_at, updated_at, pieces
FROM orders
WHERE customer_id = @customer_id AND id < @before
ORDER BY id DESC
LIMIT @most;

-- Reads the lines of a whole page of orders.
-- name: ListLines :many
SELECT order_id, position, sku, name, quantity, unit_price
FROM lines
WHERE order_id = ANY (@order_ids::uuid[])
ORDER BY order_id, position;
