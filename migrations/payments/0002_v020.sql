-- +goose Up

-- What v0.1.0 has left. v0.2.0 still asks for attempts that are pending; the table goes with the next release.
DELETE FROM attempts WHERE state = 'done';
UPDATE payments SET token = '' WHERE token <> '';
