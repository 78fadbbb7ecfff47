package architecture

import "testing"

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
	{name: "a query of a table that no migration creates", file: "modules/orders/queries.sql",
		text: "SELECT name FROM suppliers;",
		want: "names the table suppliers, which migrations/orders and platform/postgres/schema do not create"},
	{name: "a common table that has the name of what it reads", file: "modules/orders/queries.sql",
		text: "WITH stock AS (SELECT sku FROM stock) SELECT sku FROM stock;",
		want: "names stock: that is a table of the module inventory"},
	{name: "its own schema by name", file: "modules/orders/queries.sql",
		text: "SELECT id FROM orders.orders;", want: "names its own schema in orders.orders\n  instead: write orders:"},
	{name: "a shared schema", file: "modules/orders/queries.sql",
		text: "SELECT rate FROM public.rates;", want: "names public.rates, with a schema"},
	{name: "a foreign key across", file: crossing,
		text: "-- +goose Up\nALTER TABLE lines\n    ADD FOREIGN KEY (sku) REFERENCES inventory.products (sku);",
		want: crossing + ":3: names inventory.products in a foreign key: that is the module inventory's\n" +
			"  instead: keep the id without a foreign key"},
	{name: "a foreign key across, of a column", file: crossing,
		text: "CREATE TABLE parcels (sku text REFERENCES products);",
		want: "names products in a foreign key: that is a table of the module inventory"},
	{name: "a column of another type", file: crossing, text: "ALTER TABLE orders ALTER COLUMN total TYPE numeric;",
		want: crossing + ":1: changes the type of the column total\n  instead: add a column"},
	{name: "a column of another name", file: crossing, text: "ALTER TABLE orders RENAME COLUMN total TO amount;",
		want: crossing + ":1: renames the column total\n  instead: add a column"},
	{name: "a view across", file: crossing, text: "CREATE VIEW shelf AS SELECT sku FROM inventory.stock;",
		want: "names inventory.stock in a view"},
	{name: "a trigger that runs another module's function", file: crossing,
		text: "CREATE TRIGGER changed AFTER INSERT ON lines FOR EACH ROW EXECUTE FUNCTION inventory.reserve();",
		want: "names inventory.reserve in a trigger"},
	{name: "a trigger on another module's table", file: crossing,
		text: `CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER changed AFTER INSERT ON stock FOR EACH ROW EXECUTE FUNCTION seen();`,
		want: crossing + ":2: names stock in a trigger"},
	{name: "a default from another module's sequence", file: crossing,
		text: "CREATE TABLE parcels (number bigint DEFAULT nextval('inventory.parcel_numbers'));",
		want: "names inventory.parcel_numbers"},
	{name: "a name of a table in a string", file: crossing,
		text: "SELECT has_table_privilege(current_user, 'payments.attempts', 'SELECT');",
		want: "names payments.attempts"},
	{name: "a name of a table in a cast", file: crossing, text: "SELECT 'payments.anything'::regclass;",
		want: "names payments.anything"},
	{name: "a column of another module's type", file: crossing, text: "CREATE TABLE parcels (size inventory.size);",
		want: "names inventory.size"},
	{name: "a column of the row type of another module's table", file: crossing,
		text: "CREATE TABLE parcels (of stock);",
		want: "names stock: that is a table of the module inventory"},
	{name: "a table like another module's", file: crossing, text: "CREATE TABLE parcels (LIKE payments INCLUDING ALL);",
		want: "names payments: that is a table of the module payments"},
	{name: "a function in SQL, body as a string", file: crossing, text: `-- +goose Up
CREATE FUNCTION left_of(wanted text) RETURNS bigint LANGUAGE sql AS $$
    SELECT on_hand
    FROM inventory.stock WHERE sku = wanted
$$;`, want: crossing + ":4: names inventory.stock in the function left_of"},
	{name: "a function in SQL, body as a statement", file: crossing,
		text: `CREATE FUNCTION left_of(wanted text) RETURNS bigint
BEGIN ATOMIC SELECT on_hand FROM stock WHERE sku = wanted; END;`,
		want: crossing + ":2: names stock in the function left_of"},
	{name: "a function in PL/pgSQL, in a condition", file: crossing, text: `-- +goose StatementBegin
CREATE FUNCTION check_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM products WHERE sku = NEW.sku) THEN
        RAISE EXCEPTION 'no such product';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd`, want: crossing + ":4: names products in the function check_line"},
	{name: "a function in PL/pgSQL, in a variable's type", file: crossing,
		text: `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    found_one inventory.stock%ROWTYPE;
BEGIN RETURN 1; END $$;`, want: crossing + ":3: names inventory.stock in the function f"},
	{name: "a function in PL/pgSQL, in an assignment", file: crossing,
		text: `CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; BEGIN n := on_hand FROM stock LIMIT 1; RETURN n; END $$;`, want: "names stock in the function f"},
	{name: "a loop over another module's rows", file: crossing, text: `DO $$ DECLARE r record; BEGIN
    FOR r IN SELECT sku FROM inventory.stock LOOP RAISE NOTICE '%', r.sku; END LOOP;
END $$;`, want: crossing + ":2: names inventory.stock in a DO block"},
	{name: "EXECUTE of a literal", file: crossing, text: "DO $$ BEGIN EXECUTE 'DELETE FROM inventory.stock'; END $$;",
		want: "names inventory.stock in a DO block"},
	{name: "EXECUTE of a computed text", file: crossing,
		text: "DO $$ BEGIN EXECUTE format('DELETE FROM %I.stock', 'inventory'); END $$;",
		want: "executes a text that is computed at run time"},
	{name: "a loop over a computed text", file: crossing,
		text: "DO $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT * FROM ' || 'stock' LOOP NULL; END LOOP; END $$;",
		want: "executes a text that is computed at run time"},
	{name: "a query in a function's string", file: crossing,
		text: "SELECT query_to_xml('SELECT * FROM inventory.stock', true, true, '');",
		want: "calls query_to_xml, which runs a text as SQL"},
	{name: "another search_path", file: crossing, text: "SET search_path = orders, inventory;",
		want: "sets search_path"},
	{name: "another search_path by a function", file: "modules/orders/queries.sql",
		text: "SELECT set_config('search_path', 'inventory', true);", want: "sets search_path"},
	{name: "another search_path for a function", file: crossing,
		text: "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = inventory AS 'SELECT 1';",
		want: "sets search_path in the function f"},
	{name: "another role", file: crossing, text: "SET ROLE shop_inventory_owner;", want: "sets role"},
	{name: "another schema", file: crossing, text: "CREATE SCHEMA shared;", want: "creates a schema"},
	{name: "a table that moves", file: crossing, text: "ALTER TABLE lines SET SCHEMA inventory;",
		want: "moves something into another schema"},
	{name: "an extension", file: crossing, text: "CREATE EXTENSION dblink SCHEMA orders;",
		want: "creates an extension"},
	{name: "dblink", file: "modules/orders/queries.sql",
		text: "SELECT sku FROM dblink('dbname=shop', 'SELECT sku FROM inventory.stock') AS t(sku text);",
		want: "calls dblink"},
	{name: "a server", file: crossing, text: "CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw;",
		want: "connects to another database"},
	{name: "a foreign table", file: crossing, text: "CREATE FOREIGN TABLE stock (sku text) SERVER shop;",
		want: "look like the module's own"},
	{name: "rights for another module", file: crossing, text: "GRANT SELECT ON lines TO payments_rt;",
		want: "names payments_rt: that is a role of the module payments"},
	{name: "rights for PUBLIC", file: crossing, text: "GRANT SELECT ON lines TO PUBLIC;",
		want: "grants something to PUBLIC"},
	{name: "a channel", file: "modules/orders/queries.sql", text: "SELECT pg_notify('placed', @id);",
		want: "through a channel"},
	{name: "a drop of another module's table", file: crossing, text: "DROP TABLE IF EXISTS attempts;",
		want: "names attempts: that is a table of the module payments"},
	{name: "a seed", file: "migrations/inventory/seed/products.sql",
		text: "INSERT INTO orders.orders (id) VALUES ('x');", want: "names orders.orders"},
	{name: "platform reads a module's table", file: "platform/postgres/schema/9999_plant.sql",
		text: "CREATE VIEW totals AS SELECT total FROM orders;",
		want: "names orders in a view: that is a table of the module orders\n  instead: move it into modules/orders"},
	{name: "a setting of its own role", file: crossing, text: "ALTER ROLE CURRENT_USER SET search_path = inventory;",
		want: "changes a role"},
	{name: "a report over two schemas", file: "deploy/reports/views.sql",
		text: "CREATE VIEW sold AS SELECT id FROM orders.orders JOIN inventory.stock USING (sku);",
		want: "deploy/reports/views.sql: is SQL that belongs to no module\n  instead: move it to the module"},
	{name: "a type of an extension that is not created", file: crossing, text: "CREATE TABLE parcels (label citext);",
		want: "names the type citext, which migrations/orders and platform/postgres/schema do not create\n" +
			"  instead: create it in a migration of the module; an extension's type is accepted once " +
			"platform/postgres/provision.go"},
	{name: "invalid SQL", file: crossing, text: "-- +goose Up\nCREATE TABEL parcels ();",
		want: crossing + ":2: is not valid SQL for PostgreSQL"},
}

// sqlAccepts stay within a module's schema, though it may not look so.
var sqlAccepts = []plant{
	{name: "a common table with another module's name", file: "modules/orders/queries.sql",
		text: "WITH stock AS (SELECT sku, sum(quantity) AS sold FROM lines GROUP BY sku) SELECT sku, sold FROM stock;"},
	{name: "an alias with another module's name", file: "modules/orders/queries.sql",
		text: "SELECT payments.total, inventory.sku FROM orders AS payments JOIN lines AS inventory ON inventory.order_id = payments.id;"},
	{name: "a topic in a string", file: "modules/orders/queries.sql",
		text: "SELECT id FROM outbox WHERE topic = 'inventory.reserved.v1';"},
	{name: "a comment and a string that name another's table", file: "modules/orders/queries.sql",
		text: "-- Not from inventory.stock.\nSELECT 'SELECT 1 FROM inventory.stock' AS hint FROM lines WHERE sku = sqlc.narg(sku);"},
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
	{name: "another setting", file: crossing,
		text: "SET LOCAL lock_timeout = '1s';\nSELECT set_config('statement_timeout', '0', true);"},
}

// TestAnExtensionBringsItsTypes plants two changes: one creates the extension for all, the other
// uses its type.
func TestAnExtensionBringsItsTypes(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	before := len(sql.check(tree).broken)
	tree = tree.With("platform/postgres/extensions.go",
		"package postgres\n\nconst citext = \"CREATE EXTENSION IF NOT EXISTS citext SCHEMA pg_catalog\"")
	if found := sql.check(tree.With(crossing, "CREATE TABLE parcels (label citext);")).broken; len(found) > before {
		t.Errorf("it is refused: %s", found[len(found)-1].message())
	}
	if found := sql.check(tree.With(crossing, "CREATE TABLE parcels (label stock);")).broken; len(found) == before {
		t.Error("with an extension, another module's row type is accepted")
	}
}
