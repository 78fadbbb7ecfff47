-- +goose Up

-- After this time nothing may keep the event: see Until in platform/events.
ALTER TABLE outbox ADD COLUMN expires_at timestamptz;
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE expires_at IS NOT NULL;
