-- +goose Up

-- Only v0.1.0 read what is pending from the outbox itself. The column published_at, which v0.2.0 still writes, goes with the
-- next release.
DROP TRIGGER outbox_written_by_v010 ON outbox;
DROP TRIGGER outbox_published_by_v010 ON outbox;
DROP FUNCTION outbox_of_v010;
DROP INDEX outbox_unpublished;
