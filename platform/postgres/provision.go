// Package postgres gives each module its own schema in PostgreSQL, three roles that can access
// nothing else, and one pool. It promises that a module cannot touch another module's data, not
// even by mistake, so that a schema can be moved to another server at any time.
//
//	<m>_owner    NOLOGIN        owns the schema and everything in it
//	<m>_migrate  LOGIN          becomes the owner at login; used only by the migrate verb
//	<m>_rt       LOGIN          reads and writes rows, changes no definition; used to serve
package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/process"
)

// Plan lists the modules of a database. Role names are cluster-wide, so if a cluster has several
// such databases, each needs its own Prefix.
type Plan struct {
	Modules []string
	Prefix  string
	Secret  string // which the roles' passwords are derived from
	// How many connections each role may have, so that one leaves some for the others: half of the
	// server's if 0, and any number if negative.
	Connections int
}

func (p Plan) owner(module string) string   { return p.Prefix + module + "_owner" }
func (p Plan) migrate(module string) string { return p.Prefix + module + "_migrate" }
func (p Plan) runtime(module string) string { return p.Prefix + module + "_rt" }

func (p Plan) logins() (roles []string) {
	for _, module := range p.Modules {
		roles = append(roles, p.migrate(module), p.runtime(module))
	}
	return roles
}

// RuntimePassword returns the password of the role that serves the module. It is derived, so that
// there is one secret to keep, and it says nothing of that secret nor of another role's password.
func (p Plan) RuntimePassword(module string) string { return p.password(p.runtime(module)) }

// MigratePassword is RuntimePassword for the role that migrates the module.
func (p Plan) MigratePassword(module string) string { return p.password(p.migrate(module)) }

func (p Plan) password(role string) string {
	mac := hmac.New(sha256.New, []byte(p.Secret))
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil))
}

// RuntimeURL returns the URL that a serving process of the module connects to.
func (p Plan) RuntimeURL(adminURL, module string) string {
	return roleURL(adminURL, p.runtime(module), p.RuntimePassword(module))
}

// MigrateURL returns the URL that the module's migrate verb connects to.
func (p Plan) MigrateURL(adminURL, module string) string {
	return roleURL(adminURL, p.migrate(module), p.MigratePassword(module))
}

// Provision creates the database, roles and schemas that are missing, and revokes what PUBLIC may
// do there, even CONNECT; what the admin may not do, LeftToOwner returns. It may be repeated: the
// roles get this version's settings and no others, and nothing else changes.
func Provision(ctx context.Context, adminURL string, plan Plan) error {
	cfg, err := parse(adminURL)
	if err != nil {
		return fmt.Errorf("read the admin connection: %w", err)
	}
	if !strings.Contains(adminURL, "://") || cfg.Database == "" {
		return process.Usage(errors.New("the admin connection must be a URL with a database, " +
			"such as postgres://user:password@host:5432/app"))
	}
	if plan.Secret == "" {
		return process.Usage(errors.New("the secret of the roles' passwords is empty"))
	}
	if err := createDatabase(ctx, cfg); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	for try := 1; ; try++ {
		err = asAdminTx(ctx, adminURL, func(tx pgx.Tx) error {
			for _, module := range plan.Modules {
				if err := provisionModuleTx(ctx, tx, plan, module); err != nil {
					return fmt.Errorf("module %s: %w", module, err)
				}
			}
			if err := lockDownTx(ctx, tx); err != nil {
				return err
			}
			return grantTx(ctx, tx, plan)
		})
		if try == raceTries || !HasCode(err, "23505", "42710", "42P06", "XX000") {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}

// raceTries bounds the attempts of Provision when another process creates the same roles. Roles
// belong to the cluster and locks to a database, so no lock prevents that, nor a CREATE ROLE IF NOT
// EXISTS. The loser gets unique_violation, duplicate_object, duplicate_schema or "tuple
// concurrently updated".
const raceTries = 10

// Grant grants the roles CONNECT, which CREATE DATABASE … TEMPLATE does not copy, and PUBLIC
// nothing.
func Grant(ctx context.Context, adminURL string, plan Plan) error {
	return asAdminTx(ctx, adminURL, func(tx pgx.Tx) error {
		if err := lockDownTx(ctx, tx); err != nil {
			return err
		}
		return grantTx(ctx, tx, plan)
	})
}

// asAdminTx runs f in a transaction of the admin's.
func asAdminTx(ctx context.Context, adminURL string, f func(tx pgx.Tx) error) error {
	cfg, err := parse(adminURL)
	if err != nil {
		return err
	}
	conn, err := connectAdmin(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect as admin: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, f)
}

// createDatabase creates the database that cfg names if the server does not have it.
func createDatabase(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := connect(ctx, cfg)
	if err == nil {
		return conn.Close(ctx)
	}
	if HasCode(err, "08P01") { // protocol_violation: PgBouncer's code for any refusal
		return fmt.Errorf("%w; %w", errPooled, err)
	}
	if !HasCode(err, "3D000") { // invalid_catalog_name: there is no such database
		return err
	}
	server := cfg.Copy()
	server.Database, server.AfterConnect = "postgres", nil // greet: it may have any encoding
	if conn, err = connectAdmin(ctx, server); err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	create := "CREATE DATABASE " + quote(cfg.Database) + " ENCODING 'UTF8' TEMPLATE template0"
	var fits bool
	err = conn.QueryRow(ctx, "SELECT pg_encoding_to_char(encoding) = 'UTF8' FROM pg_database "+
		"WHERE datname = 'template0'").Scan(&fits)
	if err != nil {
		return err
	}
	if !fits { // nor does its locale; C fits every encoding
		create += " LC_COLLATE 'C' LC_CTYPE 'C'"
	}
	// 42P04 and 23505: another process has created it.
	if _, err = conn.Exec(ctx, create); HasCode(err, "42P04", "23505") {
		return nil
	}
	return err
}

func provisionModuleTx(ctx context.Context, tx pgx.Tx, plan Plan, module string) error {
	for _, role := range []string{plan.owner(module), plan.migrate(module), plan.runtime(module)} {
		var exists bool
		err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role).Scan(&exists)
		if err != nil {
			return err
		}
		if exists {
			continue
		}
		if _, err := tx.Exec(ctx, "CREATE ROLE "+quote(role)); err != nil {
			return err
		}
	}
	limit := strconv.Itoa(plan.Connections)
	if plan.Connections == 0 {
		if err := tx.QueryRow(ctx, "SELECT (current_setting('max_connections')::int / 2)::text").Scan(&limit); err != nil {
			return err
		}
	}
	// A role may set most settings for itself. Earlier releases set some that no longer are.
	for _, role := range []string{plan.migrate(module), plan.runtime(module)} {
		err := execAll(ctx, tx, "ALTER ROLE "+quote(role)+" CONNECTION LIMIT "+limit, "ALTER ROLE "+quote(role)+" RESET ALL",
			"ALTER ROLE "+quote(role)+" IN DATABASE "+currentDatabase(tx)+" RESET ALL")
		if err != nil {
			return err
		}
	}
	if err := execAll(ctx, tx, rights(plan, module)...); err != nil {
		return err
	}
	if err := execAll(ctx, tx,
		"ALTER ROLE "+quote(plan.migrate(module))+" PASSWORD '"+verifier(plan.MigratePassword(module))+"'",
		"ALTER ROLE "+quote(plan.runtime(module))+" PASSWORD '"+verifier(plan.RuntimePassword(module))+"'"); err != nil {
		return err
	}
	if err := set(ctx, tx, limits, plan.runtime(module)); err != nil {
		return err
	}
	return set(ctx, tx, fixed, plan.migrate(module), plan.runtime(module))
}

// rights returns the statements that define a module's roles and schema. Each may be repeated.
func rights(plan Plan, module string) []string {
	owner, migrate, runtime := quote(plan.owner(module)), quote(plan.migrate(module)), quote(plan.runtime(module))
	schema := quote(module)
	return []string{
		"ALTER ROLE " + owner + " NOLOGIN",
		"ALTER ROLE " + migrate + " LOGIN",
		"ALTER ROLE " + runtime + " LOGIN",
		"GRANT " + owner + " TO " + migrate,
		"GRANT " + owner + " TO CURRENT_USER", // an admin who is no superuser needs it to create the schema
		"CREATE SCHEMA IF NOT EXISTS " + schema + " AUTHORIZATION " + owner,
		"GRANT USAGE ON SCHEMA " + schema + " TO " + runtime,
		"ALTER DEFAULT PRIVILEGES FOR ROLE " + owner + " IN SCHEMA " + schema +
			" GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO " + runtime,
		"ALTER DEFAULT PRIVILEGES FOR ROLE " + owner + " IN SCHEMA " + schema +
			" GRANT USAGE ON SEQUENCES TO " + runtime,
		"ALTER ROLE " + migrate + " SET role = " + owner,
		"ALTER ROLE " + migrate + " SET search_path = " + schema,
		// A migration may run long, but not wait long for a lock: others queue behind it.
		"ALTER ROLE " + migrate + " SET lock_timeout = '5s'",
		"ALTER ROLE " + migrate + " SET statement_timeout = 0",
		"ALTER ROLE " + migrate + " SET idle_in_transaction_session_timeout = 0",
		"ALTER ROLE " + runtime + " SET search_path = " + schema,
		// A connection plans each statement once, for all values, and keeps the plan until the next
		// ANALYZE. So one made while a table is empty must not scan it. A report still does, at a
		// cost that would start the JIT compiler.
		"ALTER ROLE " + runtime + " SET plan_cache_mode = force_generic_plan",
		"ALTER ROLE " + runtime + " SET enable_seqscan = off",
		"ALTER ROLE " + runtime + " SET jit = off",
		// They end the locks of a process that cannot be reached, before it reconnects and would wait
		// for itself; limits, those of one that hangs or is stopped in mid-transaction.
		"ALTER ROLE " + runtime + " SET tcp_user_timeout = '" + silence.String() + "'",
		"ALTER ROLE " + runtime + " SET tcp_keepalives_idle = '" + keepAlive.Idle.String() + "'",
		"ALTER ROLE " + runtime + " SET tcp_keepalives_interval = '" + keepAlive.Interval.String() + "'",
		"ALTER ROLE " + runtime + " SET tcp_keepalives_count = " + strconv.Itoa(keepAlive.Count),
	}
}

// Fingerprint changes whenever Provision or Migrate would do something else, apart from the
// modules' own migrations. It identifies a prepared database that is kept.
func Fingerprint() string {
	hash := sha256.New()
	for _, statement := range rights(Plan{}, "module") {
		fmt.Fprintln(hash, statement)
	}
	fmt.Fprintln(hash, limits, fixed)
	_ = fs.WalkDir(platformSchema, ".", func(name string, entry fs.DirEntry, _ error) error { // embedded: cannot fail
		if text, err := platformSchema.ReadFile(name); err == nil {
			fmt.Fprintln(hash, entry.Name(), string(text))
		}
		return nil
	})
	return hex.EncodeToString(hash.Sum(nil))
}

func grantTx(ctx context.Context, tx pgx.Tx, plan Plan) error {
	var grants []string
	for _, role := range plan.logins() {
		grants = append(grants, "GRANT CONNECT ON DATABASE "+currentDatabase(tx)+" TO "+quote(role))
	}
	return execAll(ctx, tx, grants...)
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func currentDatabase(tx pgx.Tx) string { return quote(tx.Conn().Config().Database) }

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
