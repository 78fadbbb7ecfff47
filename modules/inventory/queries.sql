-- Takes no lock: a page may be a moment old. In sku order, because the cursor is the last sku of the page before.
-- name: ListProducts :many
SELECT p.sku, p.name, p.price, p.currency, s.initial, s.restocked, s.on_hand, s.reserved, s.shipped
FROM products AS p
JOIN stock AS s ON s.sku = p.sku
WHERE p.sku > @after
ORDER BY p.sku
LIMIT @page_size::bigint;

-- Takes no lock: what is shown is what was committed last.
-- name: GetProduct :one
SELECT p.sku, p.name, p.price, p.currency, s.initial, s.restocked, s.on_hand, s.reserved, s.shipped
FROM products AS p
JOIN stock AS s ON s.sku = p.sku
WHERE p.sku = @sku;

-- Takes no lock: a quote reserves nothing. In sku order, so that equal questions have equal answers.
-- name: QuoteProducts :many
SELECT sku, name, price, currency
FROM products
WHERE sku = ANY (@skus::text[])
ORDER BY sku;

-- Takes the order's row first and stock after it, in sku order, as every statement here does: whoever holds one waits for nobody
-- who waits for them. An order that is known already has no row in the answer and locks nothing; a new one has at least one row,
-- with no sku if none of them exists.
-- name: OpenReservation :many
WITH made AS (
    INSERT INTO reservations (order_id, status, created_at, updated_at)
    VALUES (@order_id, 'reserved', @now, @now)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING reservations.order_id
), locked AS (
    SELECT s.sku, s.on_hand
    FROM made
    JOIN stock AS s ON s.sku = ANY (@skus::text[])
    ORDER BY s.sku
    FOR NO KEY UPDATE OF s
)
SELECT coalesce(locked.sku, '')::text AS sku, coalesce(locked.on_hand, 0)::bigint AS on_hand
FROM made
LEFT JOIN locked ON true;

-- One round trip moves every line; its stock rows are locked by OpenReservation.
-- name: Reserve :exec
WITH lines AS (
    INSERT INTO reservation_lines (order_id, sku, quantity)
    SELECT @order_id::uuid, unnest(@skus::text[]), unnest(@quantities::bigint[])
    RETURNING sku, quantity
)
UPDATE stock
SET on_hand = stock.on_hand - lines.quantity, reserved = stock.reserved + lines.quantity
FROM lines
WHERE stock.sku = lines.sku;

-- Moves no stock. The row was made by the same transaction, so nobody else can have moved it.
-- name: Reject :exec
UPDATE reservations
SET status = 'rejected'
WHERE order_id = @order_id;

-- The reservation's row decides, so that pieces ship once. Stock is locked in sku order, as OpenReservation does.
-- name: Ship :exec
WITH moved AS (
    UPDATE reservations
    SET status = 'shipped', updated_at = @now
    WHERE reservations.order_id = @order_id AND status = 'reserved'
    RETURNING reservations.order_id
), locked AS (
    SELECT s.sku, l.quantity
    FROM moved
    JOIN reservation_lines AS l ON l.order_id = moved.order_id
    JOIN stock AS s ON s.sku = l.sku
    ORDER BY s.sku
    FOR NO KEY UPDATE OF s
)
UPDATE stock
SET reserved = stock.reserved - locked.quantity, shipped = stock.shipped + locked.quantity
FROM locked
WHERE stock.sku = locked.sku;

-- Waits for a reservation that is being made for the same order, so that Release after it sees that one.
-- name: Entomb :execrows
INSERT INTO reservations (order_id, status, created_at, updated_at)
VALUES (@order_id, 'cancelled', @now, @now)
ON CONFLICT (order_id) DO NOTHING;

-- The reservation's row decides, so that pieces come back once. Stock is locked in sku order, as OpenReservation does.
-- name: Release :exec
WITH moved AS (
    UPDATE reservations
    SET status = 'released', updated_at = @now
    WHERE reservations.order_id = @order_id AND status = 'reserved'
    RETURNING reservations.order_id
), locked AS (
    SELECT s.sku, l.quantity
    FROM moved
    JOIN reservation_lines AS l ON l.order_id = moved.order_id
    JOIN stock AS s ON s.sku = l.sku
    ORDER BY s.sku
    FOR NO KEY UPDATE OF s
)
UPDATE stock
SET reserved = stock.reserved - locked.quantity, on_hand = stock.on_hand + locked.quantity
FROM locked
WHERE stock.sku = locked.sku;

-- Locks one stock row and no other, so it can wait for a batch of orders but never deadlock with one.
-- name: Restock :one
UPDATE stock
SET restocked = stock.restocked + @quantity, on_hand = stock.on_hand + @quantity
FROM products AS p
WHERE stock.sku = @sku AND p.sku = stock.sku
RETURNING p.sku, p.name, p.price, p.currency, stock.initial, stock.restocked, stock.on_hand, stock.reserved, stock.shipped;
