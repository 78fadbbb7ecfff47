-- +goose Up

-- The events of the outbox that are not published yet. The relay deletes a row when its event is
-- published, so that the outbox itself, which is read for a replay, is only ever added to.
CREATE TABLE outbox_pending (
    event_id   uuid PRIMARY KEY,
    topic      text NOT NULL,
    replays    integer NOT NULL DEFAULT 0, -- of the outbox's row when this one was written
    created_at timestamptz NOT NULL DEFAULT now()
);

-- For one release, processes of v0.1.0 may run beside those that know the table. Their events are
-- pending while published_at is NULL; the others set it when they write, and never again.
-- +goose StatementBegin
CREATE FUNCTION outbox_of_v010() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.published_at IS NULL THEN
        INSERT INTO outbox_pending (event_id, topic, replays, created_at)
        VALUES (NEW.id, NEW.topic, NEW.replays, CASE TG_OP WHEN 'INSERT' THEN NEW.created_at ELSE now() END)
        ON CONFLICT (event_id) DO UPDATE SET replays = excluded.replays;
    ELSE
        DELETE FROM outbox_pending WHERE event_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER outbox_written_by_v010 AFTER INSERT ON outbox
    FOR EACH ROW WHEN (NEW.published_at IS NULL) EXECUTE FUNCTION outbox_of_v010();
CREATE TRIGGER outbox_published_by_v010 AFTER UPDATE OF published_at ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_of_v010();

INSERT INTO outbox_pending (event_id, topic, replays, created_at)
SELECT id, topic, replays, created_at FROM outbox WHERE published_at IS NULL;

-- Ids begin with the time, so a replay and the pruning find rows by the primary key.
DROP INDEX outbox_prunable;
DROP INDEX outbox_published;
DROP INDEX inbox_handled;

-- The aggregate's id, for a module whose processes handle different aggregates.
ALTER TABLE failed ADD COLUMN key text NOT NULL DEFAULT '';
