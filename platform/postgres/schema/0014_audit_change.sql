-- +goose Up

-- Writes the row of audit of a transaction that has changed something, and of no other. The right to write is asked for only
-- then: a request that only reads is not refused while the data moves.
-- +goose StatementBegin
CREATE FUNCTION audit_change(id uuid, who text, what text, client text, request_id text, trace_id text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF pg_current_xact_id_if_assigned() IS NOT NULL THEN
        INSERT INTO audit (id, who, what, client, request_id, trace_id) VALUES ($1, $2, $3, $4, $5, $6);
    END IF;
END $$;
-- +goose StatementEnd
