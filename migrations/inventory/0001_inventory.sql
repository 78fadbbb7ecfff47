-- +goose Up

-- Skus compare bytewise (COLLATE "C"): cursors and lock order then mean the same on every server the schema is moved to.
CREATE TABLE products (
    sku      text   COLLATE "C" PRIMARY KEY CHECK (sku ~ '^[a-z0-9][a-z0-9-]{0,63}$'),
    name     text   NOT NULL CHECK (name <> ''),
    price    bigint NOT NULL CHECK (price >= 0),
    currency text   NOT NULL CHECK (currency ~ '^[A-Z]{3}$')
);

-- Every piece that ever came in is on hand, reserved or shipped. A bug that loses or invents one fails its transaction here.
-- The fill factor leaves room on each page, because these few rows are updated by every order.
CREATE TABLE stock (
    sku       text   COLLATE "C" PRIMARY KEY REFERENCES products (sku),
    initial   bigint NOT NULL CHECK (initial >= 0),
    restocked bigint NOT NULL DEFAULT 0 CHECK (restocked >= 0),
    on_hand   bigint NOT NULL CHECK (on_hand >= 0),
    reserved  bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    shipped   bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    CONSTRAINT stock_balances CHECK (on_hand + reserved + shipped = initial + restocked)
) WITH (fillfactor = 50);

-- One row per order that inventory has heard of, so that hearing of it again changes nothing.
-- 'cancelled' is the tombstone of an order whose cancellation arrived first.
CREATE TABLE reservations (
    order_id   uuid        PRIMARY KEY,
    status     text        NOT NULL CHECK (status IN ('reserved', 'rejected', 'released', 'shipped', 'cancelled')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- What is given back or shipped is what was reserved, not what a later event says.
CREATE TABLE reservation_lines (
    order_id uuid   NOT NULL REFERENCES reservations (order_id),
    sku      text   COLLATE "C" NOT NULL REFERENCES stock (sku),
    quantity bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, sku)
);
