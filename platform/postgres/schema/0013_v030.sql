-- +goose Up

-- Only v0.2.0 wrote it. While the data moves, the source is migrated first, for the target cannot take what it lacks.
ALTER TABLE outbox DROP COLUMN published_at;
