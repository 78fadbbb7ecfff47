-- +goose Up

-- The row that a batch of the module's events locks, so that one is handled at a time. Only the
-- module's own roles can lock it, unlike an advisory lock, which any role of the database can hold.
CREATE TABLE turn (one boolean PRIMARY KEY DEFAULT true CHECK (one));
INSERT INTO turn DEFAULT VALUES;
