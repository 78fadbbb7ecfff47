-- +goose Up

-- What a customer has open is counted whenever they place another order. An order that v0.1.0 stores counts no pieces.
ALTER TABLE orders ADD COLUMN pieces bigint NOT NULL DEFAULT 0; -- of all its lines
UPDATE orders SET pieces = (SELECT sum(quantity) FROM lines WHERE order_id = orders.id) WHERE deadline IS NOT NULL;
CREATE INDEX orders_open ON orders (customer_id) WHERE deadline IS NOT NULL;
