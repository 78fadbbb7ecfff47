-- The primary key is the lock: of a payment due twice, or a payment due after its cancel, only the first finds the place free.
-- The attempt to capture comes with a payment that is new, and with no other.
-- name: InsertPayment :exec
WITH made AS (
    INSERT INTO payments (order_id, id, status, amount, currency, token, created_at, updated_at)
    VALUES (@order_id, @id, 'pending', @amount, @currency, @token, @now, @now)
    ON CONFLICT (order_id) DO NOTHING
    RETURNING payments.order_id
)
INSERT INTO attempts (id, order_id, kind, next_at, cause, created_at, updated_at)
SELECT @attempt_id::uuid, made.order_id, 'capture', @now, @cause, @now, @now
FROM made;

-- The same lock from the other side: a cancel that came first leaves the row that the late payment due will meet.
-- name: InsertTombstone :execrows
INSERT INTO payments (order_id, id, status, amount, currency, token, cancelled_at, created_at, updated_at)
VALUES (@order_id, @id, 'tombstone', 0, '', '', @now::timestamptz, @now, @now)
ON CONFLICT (order_id) DO NOTHING;

-- Locks the payment before its attempts, as every transaction here that takes both, so that a cancel and a result wait and do not deadlock.
-- name: LockPayment :one
SELECT order_id, id, status, amount, currency, reference, version, cancelled_at
FROM payments
WHERE order_id = @order_id
FOR NO KEY UPDATE;

-- Needs no guard of its own: the row is locked by LockPayment or FinishAttempt. No status that is moved to calls with the token, so it goes.
-- name: MovePayment :exec
UPDATE payments
SET status = @status, reference = @reference, version = @version, cancelled_at = @cancelled_at, token = '', updated_at = @now
WHERE order_id = @order_id;

-- Staff ask for one order; the primary key makes it one row at most. A tombstone is no payment: nothing was ever due.
-- name: ListPayments :many
SELECT id, order_id, status, amount, currency, created_at
FROM payments
WHERE order_id = @order_id AND status <> 'tombstone';

-- UNIQUE (order_id, kind) refuses a second one loudly: the rules never ask for it.
-- name: InsertRefund :exec
INSERT INTO attempts (id, order_id, kind, next_at, cause, created_at, updated_at)
VALUES (@id, @order_id, 'refund', @now, @cause, @now, @now);

-- Waits for a claim under way on the row and then sees its try: only a capture that nobody ever claimed can be taken back.
-- name: WithdrawCapture :execrows
UPDATE attempts
SET state = 'done', outcome = 'withdrawn', updated_at = @now
WHERE order_id = @order_id AND kind = 'capture' AND state = 'pending' AND tries = 0;

-- SKIP LOCKED lets claimers in several processes pass each other; longest due first, so that no attempt starves. A CTE
-- that locks runs once; as a subquery the join might run it again and claim more than @most. The payment is read, not locked: what a cancel
-- beside the claim changes is decided under the payment's lock when the result is settled.
-- name: ClaimAttempts :many
WITH due AS (
    SELECT pending.id
    FROM attempts AS pending
    WHERE pending.state = 'pending'
      AND pending.next_at BETWEEN @since AND @now
      AND (pending.lease_until IS NULL OR pending.lease_until <= @now)
    ORDER BY pending.next_at
    LIMIT @most
    FOR UPDATE SKIP LOCKED
)
UPDATE attempts
SET tries = attempts.tries + 1, lease_until = @lease_until::timestamptz, updated_at = @now
FROM due, payments
WHERE attempts.id = due.id AND payments.order_id = attempts.order_id
RETURNING attempts.id, attempts.order_id, attempts.kind, attempts.tries, attempts.cause,
    payments.amount, payments.currency, payments.token, payments.reference, payments.cancelled_at,
    attempts.lease_until::timestamptz AS lease_until;

-- Fenced by tries: a claimer whose lease went to another changes nothing and finds no row, and so learns that its result is not wanted.
-- The attempt is updated FROM the locked payment, which puts that lock first. What was waited for is read again, so the payment is as a
-- cancel left it, and tries is compared with those of the newest row. The columns are LockPayment's.
-- name: FinishAttempt :one
WITH locked AS (
    SELECT p.order_id, p.id, p.status, p.amount, p.currency, p.reference, p.version, p.cancelled_at
    FROM payments AS p
    WHERE p.order_id = @order_id
    FOR NO KEY UPDATE
), finished AS (
    UPDATE attempts
    SET state = 'done', outcome = @outcome, reason = @reason, lease_until = NULL, updated_at = @now
    FROM locked
    WHERE attempts.id = @id AND attempts.order_id = locked.order_id AND attempts.tries = @tries AND attempts.state = 'pending'
    RETURNING attempts.order_id
)
SELECT locked.order_id, locked.id, locked.status, locked.amount, locked.currency, locked.reference, locked.version, locked.cancelled_at
FROM locked
JOIN finished ON finished.order_id = locked.order_id;

-- Fenced by tries like FinishAttempt: giving back a lease that is another's would let a third call beside it.
-- name: PostponeAttempt :exec
UPDATE attempts
SET next_at = @next_at, reason = @reason, lease_until = NULL, updated_at = @now
WHERE id = @id AND tries = @tries AND state = 'pending';
