-- +goose Up

-- The new version of a row fits beside the old one, so no index has to name it.
ALTER TABLE reservations SET (fillfactor = 60);
