-- The primary key decides: of a payment due and its duplicate or cancellation, the first inserts
-- the row. Returns the new ids. In key order, as every statement here that locks several rows.
-- name: InsertPayments :many
INSERT INTO payments (order_id, id, status, amount, currency, token, created_at, updated_at)
SELECT due.order_id, due.id, 'pending', due.amount, due.currency, '', @now::timestamptz, @now::timestamptz
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@ids::uuid[]) AS id, unnest(@amounts::bigint[]) AS amount,
        unnest(@currencies::text[]) AS currency) AS due
ORDER BY due.order_id
ON CONFLICT (order_id) DO NOTHING
RETURNING id;

-- A cancellation that comes first inserts the row, so that the late payment due does not.
-- name: InsertTombstones :exec
INSERT INTO payments (order_id, id, status, amount, currency, token, cancelled_at, created_at, updated_at)
SELECT cancelled.order_id, cancelled.id, 'tombstone', 0, '', '', @now::timestamptz, @now::timestamptz, @now::timestamptz
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@ids::uuid[]) AS id) AS cancelled
ORDER BY cancelled.order_id
ON CONFLICT (order_id) DO NOTHING;

-- Takes no lock: which payment an order has never changes.
-- name: ListDue :many
SELECT order_id, id
FROM payments
WHERE order_id = ANY (@order_ids::uuid[]) AND status <> 'tombstone';

-- Jobs are deleted before payments are locked, in every transaction that does both, so that a
-- cancellation and a result do not deadlock.
-- name: LockPayments :many
SELECT order_id, id, status, amount, currency, reference, version
FROM payments
WHERE order_id = ANY (@order_ids::uuid[])
ORDER BY order_id
FOR NO KEY UPDATE;

-- LockPayments has locked the rows.
-- name: MovePayments :exec
UPDATE payments
SET status = moved.status, reference = moved.reference, version = moved.version, updated_at = @now,
    cancelled_at = coalesce(payments.cancelled_at, sqlc.narg('cancelled_at'))
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@statuses::text[]) AS status, unnest(@refs::text[]) AS reference,
        unnest(@versions::bigint[]) AS version) AS moved
WHERE payments.order_id = ANY (@order_ids::uuid[]) AND payments.order_id = moved.order_id;

-- Takes no lock: settleTx sees a cancellation that comes later.
-- name: CancelledAt :one
SELECT cancelled_at
FROM payments
WHERE order_id = @order_id;

-- Returns one row at most, by the primary key. A tombstone is no payment: nothing was ever due.
-- name: ListPayments :many
SELECT id, order_id, status, amount, currency, created_at
FROM payments
WHERE order_id = @order_id AND status <> 'tombstone';
