-- +goose Up

-- An order is kept for ever, and with it who placed it and the address of their mail. The same two are in the events of the
-- outbox, and the token is in payment_due, for as long as published events are kept.
CREATE TABLE orders (
    id            uuid PRIMARY KEY,
    customer_id   text NOT NULL,
    email         text NOT NULL,
    payment_token text NOT NULL, -- stands for a card at the provider; emptied once the order is final
    status        text NOT NULL CHECK (status IN ('placed', 'awaiting_payment', 'confirmed', 'cancelled')),
    reason        text NOT NULL DEFAULT '', -- why it was cancelled
    total         bigint NOT NULL CHECK (total > 0),
    currency      text NOT NULL,
    version       bigint NOT NULL,
    deadline      timestamptz, -- when the saga gives up; none once the order is final
    created_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    CHECK ((deadline IS NULL) = (status IN ('confirmed', 'cancelled'))),
    CHECK (payment_token = '' OR deadline IS NOT NULL)
);
CREATE INDEX orders_of_customer ON orders (customer_id, id DESC);
CREATE INDEX orders_deadline ON orders (deadline) WHERE deadline IS NOT NULL;

CREATE TABLE lines (
    order_id   uuid NOT NULL REFERENCES orders (id),
    position   integer NOT NULL,
    sku        text NOT NULL,
    name       text NOT NULL,
    quantity   integer NOT NULL CHECK (quantity > 0),
    unit_price bigint NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, position)
);
