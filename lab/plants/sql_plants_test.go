package plants

// crossing is a new migration of orders.
const crossing = "migrations/orders/9999_plant.sql"

// migrating is a plant in it.
func migrating(name, text, want string) plant {
	return plant{name: name, file: crossing, text: text, want: want}
}

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
	migrating("a foreign key across",
		"-- +goose Up\nALTER TABLE lines\n    ADD FOREIGN KEY (sku) REFERENCES inventory.products (sku);",
		crossing+":3: names inventory.products: that is the module inventory's"),
	migrating("a foreign key across, of a column", "CREATE TABLE parcels (sku text REFERENCES products);",
		"names products: that is a table of the module inventory"),
	migrating("a column of another type", "ALTER TABLE orders ALTER COLUMN total TYPE numeric;",
		crossing+":1: changes the type of the column total\n  instead: add a column"),
	migrating("a column of another name", "ALTER TABLE orders RENAME COLUMN total TO amount;",
		crossing+":1: renames the column total\n  instead: add a column"),
	migrating("a view across", "CREATE VIEW shelf AS SELECT sku FROM inventory.stock;", "names inventory.stock"),
	migrating("a trigger that runs another module's function",
		"CREATE TRIGGER changed AFTER INSERT ON lines FOR EACH ROW EXECUTE FUNCTION inventory.reserve();", "names inventory.reserve"),
	migrating("a trigger on another module's table", `CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER changed AFTER INSERT ON stock FOR EACH ROW EXECUTE FUNCTION seen();`, crossing+":2: names stock"),
	migrating("a default from another module's sequence",
		"CREATE TABLE parcels (number bigint DEFAULT nextval('inventory.parcel_numbers'));", "names inventory.parcel_numbers"),
	migrating("a name of a table in a cast", "SELECT 'payments.anything'::regclass;", "names payments.anything"),
	migrating("a column of another module's type", "CREATE TABLE parcels (size inventory.size);",
		"names inventory.size"),
	migrating("a table like another module's", "CREATE TABLE parcels (LIKE payments INCLUDING ALL);",
		"names payments: that is a table of the module payments"),
	migrating("a function in SQL, body as a string", `-- +goose Up
CREATE FUNCTION left_of(wanted text) RETURNS bigint LANGUAGE sql AS $$
    SELECT on_hand
    FROM inventory.stock WHERE sku = wanted
$$;`, crossing+":4: names inventory.stock"),
	migrating("a function in SQL, body as a statement", `CREATE FUNCTION left_of(wanted text) RETURNS bigint
BEGIN ATOMIC SELECT on_hand FROM stock WHERE sku = wanted; END;`, crossing+":2: names stock"),
	migrating("a function in PL/pgSQL, in a condition", `-- +goose StatementBegin
CREATE FUNCTION check_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM products WHERE sku = NEW.sku) THEN
        RAISE EXCEPTION 'no such product';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd`, crossing+":4: names products"),
	migrating("a function in PL/pgSQL, in a variable's type", `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found_one inventory.stock%ROWTYPE;
BEGIN RETURN 1; END $$;`, crossing+":3: names inventory.stock"),
	migrating("a function in PL/pgSQL, in an assignment", `CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; BEGIN n := on_hand FROM stock LIMIT 1; RETURN n; END $$;`, "names stock"),
	migrating("a loop over another module's rows", `DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT sku FROM inventory.stock LOOP RAISE NOTICE '%', r.sku; END LOOP;
END $$;`, crossing+":2: names inventory.stock"),
	migrating("EXECUTE of a literal", "DO $$ BEGIN EXECUTE 'DELETE FROM inventory.stock'; END $$;",
		"names inventory.stock"),
	migrating("EXECUTE of a computed text", "DO $$ BEGIN EXECUTE format('DELETE FROM %I.stock', 'inventory'); END $$;",
		"which no rule reads as SQL"),
	migrating("a string that looks like a comment", "DO $$ BEGIN PERFORM '--' || on_hand FROM inventory.stock; END $$;",
		"names inventory.stock"),
	migrating("EXECUTE of brackets", "DO $$ BEGIN EXECUTE('DELETE FROM inv' || 'entory.stock'); END $$;",
		"which no rule reads as SQL"),
	migrating("EXECUTE of another quote", "DO $$ BEGIN EXECUTE $x$DELETE FROM inv$x$ || $x$entory.stock$x$; END $$;",
		"which no rule reads as SQL"),
	migrating("a loop over a computed text",
		"DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT * FROM ' || 'stock' LOOP NULL; END LOOP; END $$;", "which no rule reads as SQL"),
	migrating("a query in a function's string", "SELECT query_to_xml('SELECT * FROM inventory.stock', true, true, '');",
		"calls query_to_xml"),
	migrating("another search_path", "SET search_path = orders, inventory;", "sets search_path"),
	{name: "another search_path by a function", file: "modules/orders/queries.sql",
		text: "SELECT set_config('search_path', 'inventory', true);", want: "sets search_path"},
	migrating("another search_path for a function",
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = inventory AS 'SELECT 1';", "sets search_path"),
	migrating("another role", "SET ROLE shop_inventory_owner;", "sets role"),
	migrating("another schema", "CREATE SCHEMA shared;", "says create schema"),
	migrating("a table that moves", "ALTER TABLE lines SET SCHEMA inventory;", "says set schema"),
	migrating("an extension", "CREATE EXTENSION dblink SCHEMA orders;", "says create extension"),
	{name: "dblink", file: "modules/orders/queries.sql",
		text: "SELECT sku FROM dblink('dbname=shop', 'SELECT sku FROM inventory.stock') AS t(sku text);",
		want: "calls dblink"},
	migrating("a server", "CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw;", "says create server"),
	migrating("a foreign table", "CREATE FOREIGN TABLE stock (sku text) SERVER shop;", "says create foreign"),
	migrating("rights for another module", "GRANT SELECT ON lines TO payments_rt;", "has a grant"),
	migrating("rights for PUBLIC", "GRANT SELECT ON lines TO PUBLIC;", "has a grant"),
	{name: "a channel", file: "modules/orders/queries.sql", text: "SELECT pg_notify('placed', @id);",
		want: "through a channel"},
	migrating("a drop of another module's table", "DROP TABLE IF EXISTS payments;",
		"names payments: that is a table of the module payments"),
	{name: "a seed", file: "migrations/inventory/seed/products.sql",
		text: "INSERT INTO orders.orders (id) VALUES ('x');", want: "names orders.orders"},
	{name: "platform reads a module's table", file: "platform/postgres/schema/9999_plant.sql",
		text: "CREATE VIEW totals AS SELECT total FROM orders;",
		want: "names orders: that is a table of the module orders\n  instead: move it into modules/orders"},
	migrating("a setting of its own role", "ALTER ROLE CURRENT_USER SET search_path = inventory;", "sets search_path"),
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
	migrating("a foreign key within", `CREATE TYPE size AS ENUM ('small', 'large');
CREATE SEQUENCE numbers;
CREATE TABLE parcels (order_id uuid REFERENCES orders (id), size size, number bigint DEFAULT nextval('numbers'), note varchar(20)[]);
ALTER INDEX parcels_pkey RENAME TO parcels_key;
ALTER SEQUENCE numbers OWNED BY parcels.number;
DROP TRIGGER IF EXISTS stock ON parcels;
COMMENT ON COLUMN parcels.number IS 'counts';`, ""),
	migrating("a trigger within", `-- +goose StatementBegin
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
CREATE TRIGGER counted AFTER INSERT ON lines REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION count_lines();`, ""),
	migrating("rights revoked from PUBLIC",
		"REVOKE ALL ON lines FROM PUBLIC;\nALTER TABLE lines OWNER TO CURRENT_USER;", ""),
	{name: "a fixture of a test", file: "test/acceptance/testdata/near.sql", text: "SELECT id FROM orders.orders;"},
	migrating("columns with words of statements",
		"ALTER TABLE orders ADD COLUMN language text, ADD COLUMN notify boolean, ADD COLUMN role text;", ""),
	{name: "a row with words of statements", file: "modules/orders/queries.sql",
		text: "UPDATE orders\nSET role = 'x', language = 'de'\nWHERE id = @id;"},
	migrating("a word that looks like a name", "ALTER TABLE lines ADD CHECK (sku <> 'inventory.rejected');", ""),
	migrating("another setting", "SET LOCAL lock_timeout = '1s';\nSELECT set_config('statement_timeout', '0', true);",
		""),
}
