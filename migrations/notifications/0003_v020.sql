-- +goose Up

-- v0.2.0 has made jobs of the mails that v0.1.0 had left to be sent. Without it, they would be forgotten. It still reads and
-- writes attempts, reason, next_at and lease_until; these, and their index, go with the next release.
-- +goose StatementBegin
DO $$ BEGIN
    IF EXISTS (SELECT FROM messages AS m JOIN recipients AS r USING (order_id)
        WHERE m.status = 'pending' AND m.body <> '' AND r.email <> '' AND m.next_at < 'infinity') THEN
        RAISE 'mails of v0.1.0 are waiting: run v0.2.0 until none is, and then migrate';
    END IF;
END $$;
-- +goose StatementEnd
ALTER TABLE messages ALTER COLUMN next_at DROP NOT NULL;
