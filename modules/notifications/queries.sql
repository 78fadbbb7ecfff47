-- The first address stays: an order has one, and the same event may come again.
-- name: InsertRecipient :exec
INSERT INTO recipients (order_id, email, created_at)
VALUES (@order_id, @email, @now)
ON CONFLICT (order_id) DO NOTHING;

-- One message per order and kind, however often the event comes.
-- name: InsertMessage :exec
INSERT INTO messages (id, order_id, kind, subject, body, message_id, next_at, created_at)
VALUES (@id, @order_id, @kind, @subject, @body, @message_id, @now, @now)
ON CONFLICT (order_id, kind) DO NOTHING;

-- SKIP LOCKED, so that several workers share the queue; longest waiting first. The lease, not a lock, outlives the
-- commit: a worker that dies while sending holds nothing. attempts counts claims, so it also names the claim.
-- name: ClaimMessages :many
WITH due AS (
    SELECT m.id, r.email
    FROM messages AS m
    JOIN recipients AS r ON r.order_id = m.order_id
    WHERE m.status = 'pending'
        AND m.next_at BETWEEN @since AND @now
        AND (m.lease_until IS NULL OR m.lease_until <= @now)
    ORDER BY m.next_at
    LIMIT @batch
    FOR UPDATE OF m SKIP LOCKED
)
UPDATE messages AS m
SET lease_until = @lease_until::timestamptz, attempts = m.attempts + 1
FROM due
WHERE m.id = due.id
RETURNING m.id, m.order_id, due.email, m.subject, m.body, m.message_id, m.attempts;

-- Whoever's claim it was: the mail is out, so nobody may send it again.
-- name: MarkSent :exec
UPDATE messages
SET status = 'sent', sent_at = @now::timestamptz, lease_until = NULL, reason = NULL
WHERE id = @id AND status <> 'sent';

-- Only the claim that failed speaks for the message: a worker that overran its lease changes nothing.
-- Not status = 'pending', which would let PostgreSQL look for the id among all that is due.
-- name: MarkFailure :exec
UPDATE messages
SET status = @status, next_at = @next_at, reason = @reason::text, lease_until = NULL
WHERE id = @id AND status NOT IN ('sent', 'failed') AND attempts = @attempts;

-- Takes no lock. In the order of their making, which is the order in which the customer got them.
-- name: ListMessages :many
SELECT kind, status, message_id, sent_at
FROM messages
WHERE order_id = @order_id
ORDER BY created_at, id;

-- In bites, so that no lock is held long, and the oldest first; SKIP LOCKED leaves what a worker has in hand.
-- name: DeleteMessages :execrows
DELETE FROM messages
WHERE id IN (
    SELECT m.id
    FROM messages AS m
    WHERE m.created_at < @before
    ORDER BY m.created_at
    LIMIT @bite
    FOR UPDATE SKIP LOCKED
);

-- In bites, as DeleteMessages. The address goes even if a message to it never went out.
-- name: DeleteRecipients :execrows
DELETE FROM recipients
WHERE order_id IN (
    SELECT r.order_id
    FROM recipients AS r
    WHERE r.created_at < @before
    ORDER BY r.created_at
    LIMIT @bite
    FOR UPDATE SKIP LOCKED
);
