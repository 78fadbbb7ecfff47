-- +goose Up

-- What the module has to do outside of a transaction. A row is written with the change that needs it
-- and deleted with the result. One with dead_at is not tried again until it is redriven.
CREATE TABLE jobs (
    id         uuid PRIMARY KEY,     -- the idempotency key of external calls, the same for every try
    kind       text NOT NULL,
    key        text NOT NULL,        -- the aggregate's id
    args       jsonb NOT NULL,
    cause      jsonb NOT NULL,       -- of what the job publishes
    tries      integer NOT NULL,     -- how often it was claimed; a result counts only from the last claim
    due_at     timestamptz NOT NULL, -- not claimed before: the end of a lease or of a pause
    reason     text NOT NULL DEFAULT '', -- why the last try failed
    created_at timestamptz NOT NULL DEFAULT now(),
    dead_at    timestamptz
) WITH (fillfactor = 50); -- a claim's new version of a row fits beside the old one, and only the difference is logged
CREATE INDEX jobs_due ON jobs (kind, due_at) WHERE dead_at IS NULL;
CREATE INDEX jobs_dead ON jobs (dead_at) WHERE dead_at IS NOT NULL;
