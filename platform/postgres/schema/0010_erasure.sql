-- +goose Up

-- For the events of an aggregate that is erased.
CREATE INDEX outbox_key ON outbox (key);
