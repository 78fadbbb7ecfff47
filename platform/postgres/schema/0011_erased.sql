-- +goose Up

-- Aggregates whose events in the outbox no longer say who caused them: see EraseTx in platform/events.
CREATE TABLE erased (
    key      text PRIMARY KEY, -- the aggregate's id
    at       timestamptz NOT NULL DEFAULT now(),
    check_at timestamptz NOT NULL DEFAULT now() -- when events from before are looked for, and deleted; infinity if none is left
);
CREATE INDEX erased_due ON erased (check_at);
CREATE INDEX erased_at ON erased (at);
