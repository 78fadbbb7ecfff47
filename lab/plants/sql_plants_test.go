package plants

// crossing is a new migration of orders.
const crossing = "migrations/orders/9999_plant.sql"

// sqlRefuses are violations of a module's schema.
var sqlRefuses = []plant{
	{name: "a query joins another module's table", file: "modules/orders/plant.sql",
		text: "-- name: Price :one\nSELECT p.price\nFROM lines AS l\nJOIN inventory.products AS p ON p.sku = l.sku AND l.sku = @sku;",
		want: "modules/orders/plant.sql:4: names inventory.products: that is the module inventory's\n" +
			"  instead: call inventory through inventoryapi"},
	{name: "a query finds another module's table by search_path", file: "modules/orders/queries.sql",
		text: "SELECT sku, on_hand FROM stock;", want: "names stock: that is a table of the module inventory"},
	{name: "a common table that has the name of what it reads", file: "modules/orders/queries.sql",
		text: "WITH stock AS (SELECT sku FROM stock) SELECT sku FROM stock;",
		want: "names stock: that is a table of the module inventory"},
	{name: "its own schema by name", file: "modules/orders/queries.sql",
		text: "SELECT id FROM orders.orders;", want: "names its own schema in orders.orders\n  instead: write orders:"},
	{name: "a shared schema", file: "modules/orders/queries.sql",
		text: "SELECT rate FROM public.rates;", want: "names public.rates, with a schema"},
	{name: "a foreign key across", file: crossing,
		text: "-- +goose Up\nALTER TABLE lines\n    ADD FOREIGN KEY (sku) REFERENCES inventory.products (sku);",
		want: crossing + ":3: names inventory.products: that is the module inventory's"},
	{name: "a foreign key across, of a column", file: crossing,
		text: "CREATE TABLE parcels (sku text REFERENCES products);",
		want: "names products: that is a table of the module inventory"},
	{name: "a column of another type", file: crossing, text: "ALTER TABLE orders ALTER COLUMN total TYPE numeric;",
		want: crossing + ":1: changes the type of the column total\n  instead: add a column"},
	{name: "a column of another name", file: crossing, text: "ALTER TABLE orders RENAME COLUMN total TO amount;",
		want: crossing + ":1: renames the column total\n  instead: add a column"},
	{name: "a view across", file: crossing, text: "CREATE VIEW shelf AS SELECT sku FROM inventory.stock;",
		want: "names inventory.stock"},
	{name: "a trigger that runs another module's function", file: crossing,
		text: "CREATE TRIGGER changed AFTER INSERT ON lines FOR EACH ROW EXECUTE FUNCTION inventory.reserve();",
		want: "names inventory.reserve"},
	{name: "a trigger on another module's table", file: crossing,
		text: `CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER changed AFTER INSERT ON stock FOR EACH ROW EXECUTE FUNCTION seen();`,
		want: crossing + ":2: names stock"},
	{name: "a default from another module's sequence", file: crossing,
		text: "CREATE TABLE parcels (number bigint DEFAULT nextval('inventory.parcel_numbers'));",
		want: "names inventory.parcel_numbers"},
	{name: "a name of a table in a cast", file: crossing, text: "SELECT 'payments.anything'::regclass;",
		want: "names payments.anything"},
	{name: "a column of another module's type", file: crossing, text: "CREATE TABLE parcels (size inventory.size);",
		want: "names inventory.size"},
	{name: "a table like another module's", file: crossing, text: "CREATE TABLE parcels (LIKE payments INCLUDING ALL);",
		want: "names payments: that is a table of the module payments"},
	{name: "a function in SQL, body as a string", file: crossing, text: `-- +goose Up
CREATE FUNCTION left_of(wanted text) RETURNS bigint LANGUAGE sql AS $$
    SELECT on_hand
    FROM inventory.stock WHERE sku = wanted
$$;`, want: crossing + ":4: names inventory.stock"},
	{name: "a function in SQL, body as a statement", file: crossing,
		text: `CREATE FUNCTION left_of(wanted text) RETURNS bigint
BEGIN ATOMIC SELECT on_hand FROM stock WHERE sku = wanted; END;`,
		want: crossing + ":2: names stock"},
	{name: "a function in PL/pgSQL, in a condition", file: crossing, text: `-- +goose StatementBegin
CREATE FUNCTION check_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM products WHERE sku = NEW.sku) THEN
        RAISE EXCEPTION 'no such product';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd`, want: crossing + ":4: names products"},
	{name: "a function in PL/pgSQL, in a variable's type", file: crossing,
		text: `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found_one inventory.stock%ROWTYPE;
BEGIN RETURN 1; END $$;`, want: crossing + ":3: names inventory.stock"},
	{name: "a function in PL/pgSQL, in an assignment", file: crossing,
		text: `CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; BEGIN n := on_hand FROM stock LIMIT 1; RETURN n; END $$;`, want: "names stock"},
	{name: "a loop over another module's rows", file: crossing, text: `DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT sku FROM inventory.stock LOOP RAISE NOTICE '%', r.sku; END LOOP;
END $$;`, want: crossing + ":2: names inventory.stock"},
	{name: "EXECUTE of a literal", file: crossing, text: "DO $$ BEGIN EXECUTE 'DELETE FROM inventory.stock'; END $$;",
		want: "names inventory.stock"},
	{name: "EXECUTE of a computed text", file: crossing,
		text: "DO $$ BEGIN EXECUTE format('DELETE FROM %I.stock', 'inventory'); END $$;",
		want: "which no rule reads as SQL"},
	{name: "a string that looks like a comment", file: crossing,
		text: "DO $$ BEGIN PERFORM '--' || on_hand FROM inventory.stock; END $$;", want: "names inventory.stock"},
	{name: "EXECUTE of brackets", file: crossing, text: "DO $$ BEGIN EXECUTE('DELETE FROM inv' || 'entory.stock'); END $$;",
		want: "which no rule reads as SQL"},
	{name: "EXECUTE of another quote", file: crossing, text: "DO $$ BEGIN EXECUTE $x$DELETE FROM inv$x$ || $x$entory.stock$x$; END $$;",
		want: "which no rule reads as SQL"},
	{name: "a loop over a computed text", file: crossing,
		text: "DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT * FROM ' || 'stock' LOOP NULL; END LOOP; END $$;",
		want: "which no rule reads as SQL"},
	{name: "a query in a function's string", file: crossing,
		text: "SELECT query_to_xml('SELECT * FROM inventory.stock', true, true, '');",
		want: "calls query_to_xml"},
	{name: "another search_path", file: crossing, text: "SET search_path = orders, inventory;",
		want: "sets search_path"},
	{name: "another search_path by a function", file: "modules/orders/queries.sql",
		text: "SELECT set_config('search_path', 'inventory', true);", want: "sets search_path"},
	{name: "another search_path for a function", file: crossing,
		text: "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = inventory AS 'SELECT 1';",
		want: "sets search_path"},
	{name: "another role", file: crossing, text: "SET ROLE shop_inventory_owner;", want: "sets role"},
	{name: "another schema", file: crossing, text: "CREATE SCHEMA shared;", want: "says create schema"},
	{name: "a table that moves", file: crossing, text: "ALTER TABLE lines SET SCHEMA inventory;",
		want: "says set schema"},
	{name: "an extension", file: crossing, text: "CREATE EXTENSION dblink SCHEMA orders;",
		want: "says create extension"},
	{name: "dblink", file: "modules/orders/queries.sql",
		text: "SELECT sku FROM dblink('dbname=shop', 'SELECT sku FROM inventory.stock') AS t(sku text);",
		want: "calls dblink"},
	{name: "a server", file: crossing, text: "CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw;",
		want: "says create server"},
	{name: "a foreign table", file: crossing, text: "CREATE FOREIGN TABLE stock (sku text) SERVER shop;",
		want: "says create foreign"},
	{name: "rights for another module", file: crossing, text: "GRANT SELECT ON lines TO payments_rt;",
		want: "has a grant"},
	{name: "rights for PUBLIC", file: crossing, text: "GRANT SELECT ON lines TO PUBLIC;",
		want: "has a grant"},
	{name: "a channel", file: "modules/orders/queries.sql", text: "SELECT pg_notify('placed', @id);",
		want: "through a channel"},
	{name: "a drop of another module's table", file: crossing, text: "DROP TABLE IF EXISTS payments;",
		want: "names payments: that is a table of the module payments"},
	{name: "a seed", file: "migrations/inventory/seed/products.sql",
		text: "INSERT INTO orders.orders (id) VALUES ('x');", want: "names orders.orders"},
	{name: "platform reads a module's table", file: "platform/postgres/schema/9999_plant.sql",
		text: "CREATE VIEW totals AS SELECT total FROM orders;",
		want: "names orders: that is a table of the module orders\n  instead: move it into modules/orders"},
	{name: "a setting of its own role", file: crossing, text: "ALTER ROLE CURRENT_USER SET search_path = inventory;",
		want: "sets search_path"},
	{name: "a report over two schemas", file: "deploy/reports/views.sql",
		text: "CREATE VIEW sold AS SELECT id FROM orders.orders JOIN inventory.stock USING (sku);",
		want: "deploy/reports/views.sql: is SQL that belongs to no module\n  instead: move it to the module"},
}

// sqlAccepts stay within a module's schema, though it may not look so.
var sqlAccepts = []plant{
	{name: "a common table with another module's name", file: "modules/orders/queries.sql",
		text: "WITH stock AS (SELECT sku, sum(quantity) AS sold FROM lines GROUP BY sku) SELECT sku, sold FROM stock;"},
	{name: "a topic in a string", file: "modules/orders/queries.sql",
		text: "SELECT id FROM outbox WHERE topic = 'inventory.reserved.v1';"},
	{name: "the platform's own table", file: "modules/orders/queries.sql",
		text: "SELECT count(*) FROM idempotency_keys WHERE scope = @scope;"},
	{name: "a catalog", file: "modules/orders/queries.sql",
		text: "SELECT reltuples FROM pg_catalog.pg_class WHERE oid = 'lines'::regclass;"},
	{name: "a foreign key within", file: crossing, text: `CREATE TYPE size AS ENUM ('small', 'large');
CREATE SEQUENCE numbers;
CREATE TABLE parcels (order_id uuid REFERENCES orders (id), size size, number bigint DEFAULT nextval('numbers'), note varchar(20)[]);
ALTER INDEX parcels_pkey RENAME TO parcels_key;
ALTER SEQUENCE numbers OWNED BY parcels.number;
DROP TRIGGER IF EXISTS stock ON parcels;
COMMENT ON COLUMN parcels.number IS 'counts';`},
	{name: "a trigger within", file: crossing, text: `-- +goose StatementBegin
CREATE FUNCTION count_lines() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    n bigint := 0;
    row_of lines%ROWTYPE;
    sku lines.sku%TYPE;
BEGIN
    SELECT count(*) INTO n FROM fresh;
    FOR row_of IN SELECT order_id, position FROM lines LOOP
        n := n + row_of.position;
    END LOOP;
    EXECUTE 'ANALYZE lines';
    NEW.version = n;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER counted AFTER INSERT ON lines REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_lines();`},
	{name: "rights revoked from PUBLIC", file: crossing,
		text: "REVOKE ALL ON lines FROM PUBLIC;\nALTER TABLE lines OWNER TO CURRENT_USER;"},
	{name: "a fixture of a test", file: "test/acceptance/testdata/near.sql", text: "SELECT id FROM orders.orders;"},
	{name: "columns with words of statements", file: crossing,
		text: "ALTER TABLE orders ADD COLUMN language text, ADD COLUMN notify boolean, ADD COLUMN role text;"},
	{name: "a row with words of statements", file: "modules/orders/queries.sql",
		text: "UPDATE orders\nSET role = 'x', language = 'de'\nWHERE id = @id;"},
	{name: "a word that looks like a name", file: crossing, text: "ALTER TABLE lines ADD CHECK (sku <> 'inventory.rejected');"},
	{name: "another setting", file: crossing,
		text: "SET LOCAL lock_timeout = '1s';\nSELECT set_config('statement_timeout', '0', true);"},
}
