-- +goose Up

-- Where an order's mail goes, deleted after the module's retention. It is the only personal data of these two tables; an event
-- that could not be handled holds the address as well, in the table failed, as long as that one keeps its dead letters.
CREATE TABLE recipients (
    order_id   uuid        PRIMARY KEY,
    email      text        NOT NULL,
    created_at timestamptz NOT NULL
);

-- A message is an intent until a worker has handed it to the mail server. Its text is fixed when it is written,
-- so that every attempt sends the same mail under the same message_id.
-- It may be older than its recipient: events arrive in any order, hence no foreign key.
CREATE TABLE messages (
    id          uuid        PRIMARY KEY,
    order_id    uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('confirmed', 'cancelled')),
    subject     text        NOT NULL,
    body        text        NOT NULL,
    message_id  text        NOT NULL,
    status      text        NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sent', 'failed')),
    attempts    integer     NOT NULL DEFAULT 0,
    reason      text,
    next_at     timestamptz NOT NULL,
    lease_until timestamptz,
    sent_at     timestamptz,
    created_at  timestamptz NOT NULL,
    UNIQUE (order_id, kind)
);

-- What the worker looks for, and nothing that it has finished.
CREATE INDEX messages_due ON messages (next_at) WHERE status = 'pending';

-- The oldest go first, a thousand at a time. A BRIN index would be smaller, but it finds them only while rows lie in the order
-- of their age, and deleting and inserting mixes that order up.
CREATE INDEX messages_age ON messages (created_at);
CREATE INDEX recipients_age ON recipients (created_at);
