-- +goose Up

-- What the module has told others. A row is written in the transaction of the change it tells of and kept after it was
-- published, so that it can be told again. No column holds a transaction id: rows survive a move to another server.
CREATE TABLE outbox (
    id           uuid PRIMARY KEY,
    topic        text NOT NULL,
    key          text NOT NULL,
    payload      jsonb NOT NULL,
    headers      jsonb NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz,
    replays      integer NOT NULL DEFAULT 0 -- how often it was told again
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL; -- for a replay
CREATE INDEX outbox_prunable ON outbox (created_at) WHERE published_at IS NOT NULL;

-- What the module has heard: a row commits with the effect of the event that it names.
CREATE TABLE inbox (
    event_id   uuid PRIMARY KEY,
    topic      text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_handled ON inbox (handled_at);

-- What the module has heard and could not handle yet. A row with dead_at is a dead letter.
CREATE TABLE failed (
    event_id  uuid PRIMARY KEY,
    topic     text NOT NULL,
    payload   bytea NOT NULL, -- as it arrived: it may not be JSON at all
    headers   jsonb NOT NULL,
    attempts  integer NOT NULL,
    reason    text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    next_at   timestamptz NOT NULL,
    dead_at   timestamptz
);
CREATE INDEX failed_due ON failed (next_at) WHERE dead_at IS NULL;
CREATE INDEX failed_dead ON failed (dead_at) WHERE dead_at IS NOT NULL;

-- The bus that this schema's events travel on; at most one row.
CREATE TABLE bus (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    name      text NOT NULL
);
