-- +goose Up

-- Only v0.2.0 read them. The index messages_due goes with next_at. While the data moves, the source is migrated first, for the target cannot take what it lacks.
ALTER TABLE messages DROP COLUMN attempts, DROP COLUMN reason, DROP COLUMN next_at, DROP COLUMN lease_until;

-- The new version of a row fits beside the old one, so no index has to name it.
ALTER TABLE messages SET (fillfactor = 60);
