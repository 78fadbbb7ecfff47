-- Takes no lock. In sku order, because the cursor is the last sku of the page before.
-- name: ListProducts :many
WITH page AS (
    SELECT products.sku, products.name, products.price, products.currency
    FROM products
    WHERE products.sku > @after
    ORDER BY products.sku
    LIMIT @page_size::bigint
)
SELECT p.sku, p.name, p.price, p.currency, s.initial, s.restocked, s.on_hand, s.reserved, s.shipped
FROM page AS p
JOIN stock AS s ON s.sku = p.sku
WHERE s.sku = ANY (ARRAY (SELECT page.sku FROM page))
ORDER BY p.sku;

-- Takes no lock: what is shown is what was committed last.
-- name: GetProduct :one
SELECT p.sku, p.name, p.price, p.currency, s.initial, s.restocked, s.on_hand, s.reserved, s.shipped
FROM products AS p
JOIN stock AS s ON s.sku = p.sku
WHERE p.sku = @sku;

-- Takes no lock: a quote reserves nothing. In sku order, so that equal requests have equal results.
-- name: QuoteProducts :many
SELECT sku, name, price, currency
FROM products
WHERE sku = ANY (@skus::text[])
ORDER BY sku;

-- Inserts the reservations first and locks the rows of stock after them, each in the order of its
-- key, as every statement here does, so that no two deadlock: the ARRAY of skus is complete, and
-- every reservation is inserted, before the first row of stock is locked. Returns the orders that
-- are new, and what is on hand of their skus; a known order locks no stock. EXCEPT finds the known
-- ones in one pass, where a join of the two lists may compare each with each.
-- name: OpenReservations :one
WITH wanted AS (
    SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@skus::text[]) AS sku
), made AS (
    INSERT INTO reservations (order_id, status, created_at, updated_at)
    SELECT DISTINCT wanted.order_id, 'reserved', @now::timestamptz, @now::timestamptz
    FROM wanted
    ORDER BY wanted.order_id
    ON CONFLICT (order_id) DO NOTHING
    RETURNING reservations.order_id
), known AS (
    SELECT wanted.order_id FROM wanted EXCEPT SELECT made.order_id FROM made
), locked AS (
    SELECT s.sku, s.on_hand
    FROM stock AS s
    WHERE s.sku = ANY (ARRAY (
        SELECT wanted.sku FROM wanted WHERE wanted.order_id <> ALL (ARRAY (SELECT known.order_id FROM known))
    ))
    ORDER BY s.sku
    FOR NO KEY UPDATE
)
SELECT ARRAY (SELECT made.order_id FROM made)::uuid[] AS new_order_ids,
    ARRAY (SELECT locked.sku FROM locked)::text[] AS skus,
    ARRAY (SELECT locked.on_hand FROM locked)::bigint[] AS on_hand;

-- Moves the pieces of all lines. OpenReservations has locked their rows of stock.
-- name: Reserve :exec
WITH lines AS (
    INSERT INTO reservation_lines (order_id, sku, quantity)
    SELECT unnest(@order_ids::uuid[]), unnest(@skus::text[]), unnest(@quantities::bigint[])
    RETURNING sku, quantity
), pieces AS (
    SELECT sku, sum(quantity)::bigint AS quantity
    FROM lines
    GROUP BY sku
)
UPDATE stock
SET on_hand = stock.on_hand - pieces.quantity, reserved = stock.reserved + pieces.quantity
FROM pieces
WHERE stock.sku = ANY (@skus::text[]) AND stock.sku = pieces.sku;

-- Moves no stock. The same transaction inserted the rows, so no other can have moved them.
-- name: Reject :exec
UPDATE reservations
SET status = 'rejected'
WHERE order_id = ANY (@order_ids::uuid[]);

-- Ships reserved orders only, so each once. Locks rows in the order of OpenReservations.
-- name: Ship :exec
WITH due AS (
    SELECT order_id
    FROM reservations
    WHERE order_id = ANY (@order_ids::uuid[]) AND status = 'reserved'
    ORDER BY order_id
    FOR NO KEY UPDATE
), moved AS (
    UPDATE reservations
    SET status = 'shipped', updated_at = @now
    WHERE reservations.order_id = ANY (ARRAY (SELECT due.order_id FROM due))
    RETURNING reservations.order_id
), pieces AS (
    SELECT l.sku, sum(l.quantity)::bigint AS quantity
    FROM reservation_lines AS l
    WHERE l.order_id = ANY (ARRAY (SELECT moved.order_id FROM moved))
    GROUP BY l.sku
), locked AS (
    SELECT s.sku
    FROM stock AS s
    WHERE s.sku = ANY (ARRAY (SELECT pieces.sku FROM pieces))
    ORDER BY s.sku
    FOR NO KEY UPDATE
)
UPDATE stock
SET reserved = stock.reserved - pieces.quantity, shipped = stock.shipped + pieces.quantity
FROM pieces
WHERE stock.sku = ANY (ARRAY (SELECT locked.sku FROM locked)) AND stock.sku = pieces.sku;

-- Waits for a concurrent reservation of the same order, which Release after it then sees.
-- name: InsertTombstone :execrows
INSERT INTO reservations (order_id, status, created_at, updated_at)
VALUES (@order_id, 'cancelled', @now, @now)
ON CONFLICT (order_id) DO NOTHING;

-- Releases a reserved order only, so once. Locks rows in the order of OpenReservations.
-- name: Release :exec
WITH moved AS (
    UPDATE reservations
    SET status = 'released', updated_at = @now
    WHERE reservations.order_id = @order_id AND status = 'reserved'
    RETURNING reservations.order_id
), pieces AS (
    SELECT l.sku, l.quantity
    FROM reservation_lines AS l
    WHERE l.order_id = ANY (ARRAY (SELECT moved.order_id FROM moved))
), locked AS (
    SELECT s.sku
    FROM stock AS s
    WHERE s.sku = ANY (ARRAY (SELECT pieces.sku FROM pieces))
    ORDER BY s.sku
    FOR NO KEY UPDATE
)
UPDATE stock
SET reserved = stock.reserved - pieces.quantity, on_hand = stock.on_hand + pieces.quantity
FROM pieces
WHERE stock.sku = ANY (ARRAY (SELECT locked.sku FROM locked)) AND stock.sku = pieces.sku;

-- Locks one row of stock, so it may wait for a batch of orders but never deadlocks with one.
-- name: Restock :one
UPDATE stock
SET restocked = stock.restocked + @quantity, on_hand = stock.on_hand + @quantity
FROM products AS p
WHERE stock.sku = @sku AND p.sku = stock.sku
RETURNING p.sku, p.name, p.price, p.currency, stock.initial, stock.restocked, stock.on_hand, stock.reserved, stock.shipped;
