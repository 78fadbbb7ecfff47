-- +goose Up

-- Where an order's mail goes. The only personal data of the module; it is deleted after the retention.
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

-- Rows are appended in the order of their age, so the smallest index there is finds the old ones.
CREATE INDEX messages_age ON messages USING brin (created_at);
CREATE INDEX recipients_age ON recipients USING brin (created_at);
