-- +goose Up

-- One payment per order. A tombstone is the row of an order that was cancelled before its payment was due:
-- it holds no amount and lets a payment_due that comes late find the place taken.
CREATE TABLE payments (
    order_id     uuid PRIMARY KEY,
    id           uuid NOT NULL UNIQUE,
    status       text NOT NULL CHECK (status IN
                     ('tombstone', 'pending', 'cancelling', 'captured', 'declined', 'cancelled', 'refunding', 'refunded')),
    amount       bigint NOT NULL CHECK (amount >= 0),
    currency     text NOT NULL,
    -- Stands for a card at the provider. Emptied once no call can need it.
    token        text NOT NULL,
    -- The provider's name for the capture; a refund must quote it.
    reference    text NOT NULL DEFAULT '',
    version      bigint NOT NULL DEFAULT 1,
    -- When we heard that the order was cancelled, whatever the payment had come to by then.
    cancelled_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL
);

-- An attempt is what the provider must be asked to do, whose it is at the moment, and what came of it. It may take many tries.
CREATE TABLE attempts (
    -- The idempotency key at the provider: the same for every try, in every process, for ever.
    id          uuid PRIMARY KEY,
    order_id    uuid NOT NULL REFERENCES payments (order_id),
    kind        text NOT NULL CHECK (kind IN ('capture', 'refund')),
    state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done')),
    -- How often it was claimed. It is the fencing token as well: a result counts only if nobody claimed it since.
    tries       integer NOT NULL DEFAULT 0,
    -- Nobody may claim it before next_at, nor before the lease of the last claimer has run out.
    next_at     timestamptz NOT NULL,
    lease_until timestamptz,
    outcome     text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'approved', 'refused', 'withdrawn')),
    -- Why it was refused, or why it is not settled yet.
    reason      text NOT NULL DEFAULT '',
    -- The request that began it, for what will be told of it.
    cause       jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- A second capture or a second refund of an order is not refused by care alone.
    UNIQUE (order_id, kind)
);

-- The claim reads the pending few, not the history.
CREATE INDEX attempts_pending ON attempts (next_at) WHERE state = 'pending';
