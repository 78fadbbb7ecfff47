-- +goose Up

-- Whether the module's data is at home in this database, once it has begun to move between two; without a row it is. Each of
-- the two has a row of its own, which is not replicated, and at most one of them says home. A serving process reads it, and
-- follows; it is written by those who move the module, and by lift_fence.
--
--	home ──▶ fencing ──▶ opening ──▶ standby      the database that is left
--	  ▲ lift_fence │                    │
--	  └────────────┘   home ◀───────────┘         the one that is entered, with the next epoch
CREATE TABLE home (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    state     text NOT NULL CHECK (state IN ('home', 'fencing', 'opening', 'standby')),
    epoch     bigint NOT NULL, -- raised by each change of home, and by each fence that is lifted
    move      uuid NOT NULL,   -- the attempt that may change the row, so that one which was replaced cannot
    elsewhere text NOT NULL,   -- the other database, as postgres://host:port/database without a login
    deadline  timestamptz,     -- of a fence: after it anyone may lift it
    grants    text NOT NULL DEFAULT '' -- the statements that undo the fence
);

-- A row that the other database has got shows that it has got all that was committed before.
CREATE TABLE marker (id uuid PRIMARY KEY);

-- Lifts a fence whose deadline is over, because the one who raised it may be dead. The other database was not opened, which
-- takes the state opening first.
-- +goose StatementBegin
CREATE FUNCTION lift_fence() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    undo text;
BEGIN
    UPDATE home SET state = 'home', epoch = epoch + 1, deadline = NULL
    WHERE state = 'fencing' AND deadline < clock_timestamp()
    RETURNING grants INTO undo;
    IF undo IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE undo;
    RETURN true;
END $$;
-- +goose StatementEnd

-- Not by a table of the caller's that is called home, too: pg_temp comes last.
-- +goose StatementBegin
DO $$ BEGIN EXECUTE format('ALTER FUNCTION lift_fence() SET search_path = %I, pg_temp', current_schema()); END $$;
-- +goose StatementEnd
