-- The first address stays: an order has one, and the same event may come again.
-- name: InsertRecipients :exec
INSERT INTO recipients (order_id, email, created_at)
SELECT unnest(@order_ids::uuid[]), unnest(@emails::text[]), @now
ON CONFLICT (order_id) DO NOTHING;

-- One message per order and kind, however often the event comes. Those whose address is known need
-- no text here, for their mails are enqueued; the others wait with theirs. With next_at infinity,
-- no process of v0.1.0 ever finds a message due.
-- name: InsertMessages :many
WITH given AS (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@order_ids::uuid[]) AS order_id, unnest(@subjects::text[]) AS subject,
        unnest(@bodies::text[]) AS body, unnest(@message_ids::text[]) AS message_id
), addressed AS (
    SELECT g.*, coalesce((SELECT r.email FROM recipients AS r WHERE r.order_id = g.order_id), '')::text AS email
    FROM given AS g
), written AS (
    INSERT INTO messages (id, order_id, kind, subject, body, message_id, next_at, created_at)
    SELECT a.id, a.order_id, @kind,
        CASE WHEN a.email = '' THEN a.subject ELSE '' END,
        CASE WHEN a.email = '' THEN a.body ELSE '' END,
        a.message_id,
        CASE WHEN a.email = '' THEN @now::timestamptz ELSE 'infinity' END,
        @now
    FROM addressed AS a
    ON CONFLICT (order_id, kind) DO NOTHING
    RETURNING id
)
SELECT a.id::uuid AS id, a.email
FROM written AS w
JOIN addressed AS a ON a.id = w.id
WHERE a.email <> '';

-- The text leaves with the mail. What a process of v0.1.0 is sending stays; a claim of one that
-- took too long is known by its attempts, and comes to nothing after this. Not status = 'pending',
-- which would let PostgreSQL look among all that is due.
-- name: TakeTexts :many
WITH waiting AS (
    SELECT m.id, m.order_id, m.subject, m.body, m.message_id,
        coalesce((SELECT r.email FROM recipients AS r WHERE r.order_id = m.order_id), '')::text AS email
    FROM messages AS m
    WHERE m.order_id = ANY(@order_ids::uuid[]) AND m.status NOT IN ('sent', 'failed') AND m.body <> ''
        AND (m.lease_until IS NULL OR m.lease_until <= @now::timestamptz)
    FOR UPDATE
)
UPDATE messages AS m
SET subject = '', body = '', next_at = 'infinity', attempts = m.attempts + 1
FROM waiting AS w
WHERE m.id = ANY (ARRAY (SELECT waiting.id FROM waiting WHERE waiting.email <> '')) AND m.id = w.id
RETURNING w.id, w.order_id, w.email, w.subject, w.body, w.message_id;

-- What is overdue, and what v0.1.0 was sending when it died. SKIP LOCKED, because several processes
-- look.
-- name: ListAbandoned :many
SELECT m.order_id
FROM messages AS m
WHERE m.status = 'pending' AND m.next_at < @before AND (m.lease_until IS NULL OR m.lease_until < @before)
    AND (SELECT r.order_id FROM recipients AS r WHERE r.order_id = m.order_id) IS NOT NULL
ORDER BY m.next_at
LIMIT @bite
FOR UPDATE SKIP LOCKED;

-- A job's mail is out.
-- name: MarkSent :exec
UPDATE messages
SET status = 'sent', sent_at = @now::timestamptz
WHERE id = ANY(@ids::uuid[]);

-- Takes no lock. In the order of their making, which is the order in which the customer got them. A
-- mail that was refused for good has left its job dead.
-- name: ListMessages :many
WITH mine AS MATERIALIZED (
    SELECT m.id, m.kind, m.message_id, m.sent_at, m.created_at,
        CASE WHEN (SELECT j.dead_at FROM jobs AS j WHERE j.id = m.id) IS NULL THEN m.status ELSE 'failed' END::text AS status
    FROM messages AS m
    WHERE m.order_id = @order_id
)
SELECT mine.kind, mine.status, mine.message_id, mine.sent_at
FROM mine
ORDER BY mine.created_at, mine.id;

-- In bites, so that no lock is held long, and the oldest first. A mail that is still to be sent
-- goes with its message.
-- name: DeleteMessages :execrows
WITH old AS (
    SELECT m.id
    FROM messages AS m
    WHERE m.created_at < @before
    ORDER BY m.created_at
    LIMIT @bite
    FOR UPDATE SKIP LOCKED
), unsent AS (
    DELETE FROM jobs WHERE jobs.id = ANY (ARRAY (SELECT old.id FROM old))
)
DELETE FROM messages WHERE messages.id = ANY (ARRAY (SELECT old.id FROM old));

-- In bites, as DeleteMessages. The address goes even if a message to it never went out.
-- name: DeleteRecipients :execrows
DELETE FROM recipients
WHERE order_id = ANY (ARRAY (
    SELECT r.order_id
    FROM recipients AS r
    WHERE r.created_at < @before
    ORDER BY r.created_at
    LIMIT @bite
    FOR UPDATE SKIP LOCKED
));
