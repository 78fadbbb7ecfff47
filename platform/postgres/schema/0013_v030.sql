-- +goose Up

-- Only v0.2.0 wrote it.
ALTER TABLE outbox DROP COLUMN published_at;
