-- +goose Up

-- What staff and services have changed. A row is written in the transaction of the change (platform/postgres). The role that
-- serves the module adds rows and reads them, and can neither change nor delete one: Migrate revokes that.
CREATE TABLE audit (
    id         uuid PRIMARY KEY, -- begins with the time
    at         timestamptz NOT NULL DEFAULT now(),
    who        text NOT NULL, -- role:subject
    what       text NOT NULL, -- the request's method and path
    client     text NOT NULL, -- the address that the request came from
    request_id text NOT NULL,
    trace_id   text NOT NULL  -- also in the log lines of the request
);
