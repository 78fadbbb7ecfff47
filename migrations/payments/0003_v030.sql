-- +goose Up

-- Only v0.2.0 read it. While the data moves, the source is migrated first, for the target cannot take what it lacks.
DROP TABLE attempts;

-- The new version of a row fits beside the old one, so no index has to name it.
ALTER TABLE payments SET (fillfactor = 60);
