-- The first address stays: the same event may be delivered again.
-- name: InsertRecipients :exec
INSERT INTO recipients (order_id, email, created_at)
SELECT unnest(@order_ids::uuid[]), unnest(@emails::text[]), @now
ON CONFLICT (order_id) DO NOTHING;

-- One message per order and kind, however often the event is delivered. Returns those whose address
-- is known: their text goes into jobs; the others keep theirs here. A mail is withheld if its order
-- follows so many others of the hour with the same mailbox, which their ids tell, whatever comes
-- first.
-- name: InsertMessages :many
WITH given AS (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@order_ids::uuid[]) AS order_id, unnest(@subjects::text[]) AS subject,
        unnest(@bodies::text[]) AS body, unnest(@message_ids::text[]) AS message_id
), addressed AS (
    SELECT g.*, coalesce((SELECT r.email FROM recipients AS r WHERE r.order_id = g.order_id), '')::text AS email
    FROM given AS g
), judged AS (
    SELECT a.*, a.email <> '' AND (SELECT count(*) FROM (
            SELECT 1
            FROM recipients AS r
            WHERE mailbox_of(r.email) = mailbox_of(a.email) AND r.created_at > @since AND r.order_id < a.order_id
            LIMIT @most::bigint
        ) AS earlier) = @most::bigint AS withheld
    FROM addressed AS a
), written AS (
    INSERT INTO messages (id, order_id, kind, subject, body, message_id, status, created_at)
    SELECT a.id, a.order_id, @kind,
        CASE WHEN a.email = '' THEN a.subject ELSE '' END,
        CASE WHEN a.email = '' THEN a.body ELSE '' END,
        a.message_id,
        CASE WHEN a.withheld THEN 'withheld' ELSE 'pending' END,
        @now
    FROM judged AS a
    ON CONFLICT (order_id, kind) DO NOTHING
    RETURNING id
)
SELECT a.id::uuid AS id, a.email
FROM written AS w
JOIN judged AS a ON a.id = w.id
WHERE a.email <> '' AND NOT a.withheld;

-- Moves the text to the mail's job, or drops it if the mail is withheld, as in InsertMessages.
-- name: TakeTexts :many
WITH waiting AS (
    SELECT m.id, m.order_id, m.subject, m.body, m.message_id,
        coalesce((SELECT r.email FROM recipients AS r WHERE r.order_id = m.order_id), '')::text AS email
    FROM messages AS m
    WHERE m.order_id = ANY(@order_ids::uuid[]) AND m.status = 'pending' AND m.body <> ''
    FOR UPDATE
), judged AS (
    SELECT w.*, (SELECT count(*) FROM (
            SELECT 1
            FROM recipients AS r
            WHERE mailbox_of(r.email) = mailbox_of(w.email) AND r.created_at > @since AND r.order_id < w.order_id
            LIMIT @most::bigint
        ) AS earlier) = @most::bigint AS withheld
    FROM waiting AS w
    WHERE w.email <> ''
)
UPDATE messages AS m
SET subject = '', body = '',
    status = CASE WHEN j.withheld THEN 'withheld' ELSE m.status END
FROM judged AS j
WHERE m.id = ANY (ARRAY (SELECT judged.id FROM judged)) AND m.id = j.id
RETURNING j.id, j.order_id, j.email, j.subject, j.body, j.message_id, j.withheld::boolean AS withheld;

-- Marks the messages of sent mails.
-- name: MarkSent :exec
UPDATE messages
SET status = 'sent', sent_at = @now::timestamptz
WHERE id = ANY(@ids::uuid[]);

-- An order without an address is erased: one that comes later is not stored.
-- name: EraseRecipients :exec
INSERT INTO recipients (order_id, email, created_at)
SELECT unnest(@order_ids::uuid[]), '', @now
ON CONFLICT (order_id) DO UPDATE SET email = '';

-- Deletes the messages of orders, and the jobs of unsent mails ahead of them, as DeleteMessages.
-- name: EraseMessages :exec
WITH erased AS (
    SELECT m.id
    FROM messages AS m
    WHERE m.order_id = ANY (@order_ids::uuid[])
), unsent AS (
    DELETE FROM jobs WHERE jobs.id = ANY (ARRAY (SELECT erased.id FROM erased)) RETURNING jobs.id
)
DELETE FROM messages
WHERE messages.id = ANY (ARRAY (SELECT erased.id FROM erased)) AND (SELECT count(*) FROM unsent) >= 0;

-- Takes no lock. Oldest first, sorted apart: the index of created_at would be read instead, with
-- all messages. A mail that was refused for good has left a dead job.
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

-- In batches, so that no lock is held long, oldest first. Deletes the job of an unsent mail too,
-- ahead of its message: a mail that is sent this moment locks the two in that order.
-- name: DeleteMessages :execrows
WITH old AS (
    SELECT m.id
    FROM messages AS m
    WHERE m.created_at < @before
    ORDER BY m.created_at
    LIMIT @batch
), unsent AS (
    DELETE FROM jobs WHERE jobs.id = ANY (ARRAY (SELECT old.id FROM old)) RETURNING jobs.id
)
DELETE FROM messages
WHERE messages.id = ANY (ARRAY (SELECT old.id FROM old)) AND (SELECT count(*) FROM unsent) >= 0;

-- In batches, as DeleteMessages, even if a message to the address was never sent.
-- name: DeleteRecipients :execrows
DELETE FROM recipients
WHERE order_id = ANY (ARRAY (
    SELECT r.order_id
    FROM recipients AS r
    WHERE r.created_at < @before
    ORDER BY r.created_at
    LIMIT @batch
    FOR UPDATE SKIP LOCKED
));
