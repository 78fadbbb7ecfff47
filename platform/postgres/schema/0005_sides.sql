-- +goose Up

-- The sides of a canary: the processes that serve this schema, under the names that the façade's
-- route has for them. While no side has a weight, each may handle everything.
CREATE TABLE sides (
    side     text PRIMARY KEY,
    weight   integer CHECK (weight BETWEEN 0 AND 100), -- percent, as in the route
    buckets  int4range NOT NULL DEFAULT 'empty',       -- its part of 0 to 9999
    knows    text[],                                   -- topics and kinds of jobs that it handles; NULL for any
    beat_at  timestamptz,                              -- when it last said that it runs
    -- What it has handled, as of its last beat.
    requests bigint NOT NULL DEFAULT 0,
    events   bigint NOT NULL DEFAULT 0,
    jobs     bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50); -- it is updated every second

-- The bucket of an aggregate, so that all of its events and jobs have the same side.
CREATE FUNCTION bucket_of(key text) RETURNS integer IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN (abs(hashtextextended(key, 0) % 10000))::integer;

-- The buckets of a topic, or of a kind of jobs, that a side handles now: its own, and those of sides that are
-- silent or do not know it. None, if its weight is 0, or if it does not know it and another side does.
-- +goose StatementBegin
CREATE FUNCTION share_of(asking text, about text) RETURNS int4multirange STABLE LANGUAGE plpgsql AS $$
DECLARE
    alive timestamptz := now() - interval '10 seconds';
BEGIN
    IF NOT EXISTS (SELECT FROM sides WHERE weight IS NOT NULL) THEN
        RETURN '{(,)}';
    END IF;
    RETURN (SELECT coalesce(range_agg(s.buckets), '{}') FROM sides AS mine JOIN sides AS s
        ON s.side = mine.side OR coalesce(s.beat_at < alive, true) OR NOT about = ANY (s.knows)
        WHERE mine.side = asking AND mine.weight > 0 AND (coalesce(about = ANY (mine.knows), true)
            OR NOT EXISTS (SELECT FROM sides WHERE weight > 0 AND beat_at >= alive AND about = ANY (knows))));
END $$;
-- +goose StatementEnd

-- Events that a side received and another one handles. Their side takes them from here.
CREATE TABLE parked (
    event_id  uuid PRIMARY KEY,
    topic     text NOT NULL,
    key       text NOT NULL,
    payload   bytea NOT NULL, -- as it arrived
    headers   jsonb NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now()
);

-- All modules of the system, also those whose code is gone from this process's program.
ALTER TABLE bus ADD COLUMN modules text[] NOT NULL DEFAULT '{}';
