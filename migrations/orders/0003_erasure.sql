-- +goose Up

-- The final orders that name a customer, by how long they have been final. An erased order has neither customer_id nor email.
CREATE INDEX orders_old ON orders (updated_at) WHERE deadline IS NULL AND customer_id <> '';
