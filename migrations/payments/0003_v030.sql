-- +goose Up

-- Only v0.2.0 read it.
DROP TABLE attempts;

-- The new version of a row fits beside the old one, so no index has to name it.
ALTER TABLE payments SET (fillfactor = 60);
