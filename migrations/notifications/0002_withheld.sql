-- +goose Up

-- A mail that the limit of its mailbox withholds is never sent.
ALTER TABLE messages DROP CONSTRAINT messages_status_check;
ALTER TABLE messages ADD CONSTRAINT messages_status_check CHECK (status IN ('pending', 'sent', 'failed', 'withheld'));

-- The mailbox of an address: many servers ignore case, and what follows a plus sign.
CREATE FUNCTION mailbox_of(email text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
    RETURN lower(regexp_replace(email, '\+[^@]*@', '@'));

CREATE INDEX recipients_mailbox ON recipients (mailbox_of(email), created_at);
