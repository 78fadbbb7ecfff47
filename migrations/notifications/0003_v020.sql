-- +goose Up

-- Only v0.1.0 read when a message is due, how often it was tried and whose it is; v0.2.0 still writes that. The columns
-- attempts, reason, next_at and lease_until go with the next release.
ALTER TABLE messages ALTER COLUMN next_at DROP NOT NULL;
DROP INDEX messages_due;
