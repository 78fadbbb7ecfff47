-- +goose Up

-- Answers that were given to requests with an Idempotency-Key, written in the transaction of their effect.
CREATE TABLE idempotency_keys (
    scope        text NOT NULL, -- who asked, and on which route
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    answer       bytea NOT NULL, -- as it was given, to the byte
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
