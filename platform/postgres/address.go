package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"

	"example.com/shop/platform/process"
)

// connectTimeout bounds one attempt to connect, unless the address has a connect_timeout, so that a
// start with a wrong address fails soon.
const connectTimeout = 5 * time.Second

// pingTimeout bounds the ping of an idle pooled connection; after it the next one is tried.
const pingTimeout = time.Second

// addressKeys are the parameters that an address may have: where the server is, who logs in, and
// how. The session's settings belong to the role (options, search_path and so on), and the number
// of connections to a setting (pool_max_conns, pool_min_conns).
var addressKeys = []string{
	"host", "port", "dbname", "user", "password", "passfile", "connect_timeout", "application_name",
	"target_session_attrs",
	"sslmode", "ssl", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcertmode", "sslnegotiation", "sslsni",
	"channel_binding", "require_auth", "krbspn", "krbsrvname", "min_protocol_version", "max_protocol_version",
	"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
	"pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter",
	"pool_max_conn_idle_time", "pool_health_check_period",
}

var (
	otherKey  = regexp.MustCompile(`connection string key ("[^"]*") is not`)
	errSyntax = errors.New("the address of a database must be like postgres://user:password@host:5432/database, " +
		"with the special characters of a password percent-encoded, or keyword=value pairs")
)

// withoutAddress returns pgx's message about an address without the address, in which pgx hides a
// password only where it recognizes one. In one that does not parse, any part may be the
// password's.
func withoutAddress(err error) error {
	text := err.Error()
	text = strings.TrimPrefix(text[strings.LastIndex(text, "`: ")+1:], ": ")
	if strings.HasPrefix(text, "failed to parse as") {
		return errSyntax
	}
	if key := otherKey.FindStringSubmatch(text); key != nil {
		return fmt.Errorf("the address of a database must not have the parameter %s: leave it out", key[1])
	}
	return errors.New("the address of a database: " + text)
}

// parse reads an address into the configuration of a connection. libpq's environment variables fill
// in what it leaves out, except session settings.
func parse(address string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfigWithOptions(address, pgx.ParseConfigOptions{
		ParseConfigOptions: pgconn.ParseConfigOptions{ConnStringAllowedKeys: addressKeys},
	})
	if err != nil {
		return nil, process.Usage(withoutAddress(err))
	}
	if strings.Index(cfg.Host, "@") > 0 { // a UNIX socket's name may begin with it
		return nil, process.Usage(errSyntax)
	}
	name := cfg.RuntimeParams["application_name"]
	clear(cfg.RuntimeParams)
	if name != "" {
		cfg.RuntimeParams["application_name"] = name
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	cfg.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive, Control: limitSilence}).DialContext
	cfg.AfterConnect = greet
	return cfg, nil
}

// parsePool is parse for a pool, with name as the application_name of its connections. The pool
// keeps its size: who finds it smaller makes a connection and waits for that one, on a busy server
// for seconds, even when another becomes free.
func parsePool(name, address string, maxConns int32) (*pgxpool.Config, error) {
	conn, err := parse(address)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, process.Usage(withoutAddress(err))
	}
	conn.RuntimeParams["application_name"] = name
	cfg.ConnConfig, cfg.MinConns, cfg.MaxConns, cfg.PingTimeout = conn, maxConns, maxConns, pingTimeout
	cfg.MaxConnLifetimeJitter = cmp.Or(cfg.MaxConnLifetimeJitter, cfg.MaxConnLifetime) // or all would end at once
	cfg.AfterConnect = prepare
	return cfg, nil
}

// prepare makes a connection send a uuid.UUID in binary form: text took 5 % of the monolith's time.
func prepare(_ context.Context, conn *pgx.Conn) error {
	pgxuuid.Register(conn.TypeMap())
	return nil
}

// Connect opens a connection like those of the pool, outside of the pool.
func (db *DB) Connect(ctx context.Context) (*pgx.Conn, error) {
	at := db.home.Load()
	cfg := at.pool.Config()
	conn, err := connect(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, err
	}
	conn.PgConn().CustomData()[homeKey] = at
	return conn, cfg.AfterConnect(ctx, conn)
}

// homeKey is where a connection keeps which home it leads to.
const homeKey = "home"

// Connect opens one connection outside of any pool.
func Connect(ctx context.Context, address string) (*pgx.Conn, error) {
	cfg, err := parse(address)
	if err != nil {
		return nil, err
	}
	return connect(ctx, cfg)
}

// ConnectAdmin is Connect for a session that lasts, so the address must not lead to a pooler.
func ConnectAdmin(ctx context.Context, address string) (*pgx.Conn, error) {
	cfg, err := parse(address)
	if err != nil {
		return nil, err
	}
	return connectSession(ctx, cfg)
}

// connectSession refuses an address that leads to a pooler.
func connectSession(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if pooled, err := isPooled(ctx, conn); pooled || err != nil {
		return nil, errors.Join(cmp.Or(err, errPooled), conn.Close(ctx))
	}
	return conn, nil
}

// connect is pgx.ConnectConfig with an error on one line.
func connect(ctx context.Context, cfg *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, oneLineError{err}
	}
	return conn, nil
}

// oneLineError is an error of pgx, which lists the hosts that it has tried, with TLS and without, on
// a line each.
type oneLineError struct{ error }

func (o oneLineError) Error() string {
	var tried []string
	for line := range strings.Lines(o.error.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(tried, line) {
			tried = append(tried, line)
		}
	}
	return strings.Join(tried, " ")
}

func (o oneLineError) Unwrap() error { return o.error }

// InTheClear reports whether a connection by this address may reach another host without TLS, so
// that who listens on the way gets the data.
func InTheClear(address string) bool {
	cfg, err := parse(address)
	if err != nil {
		return false // and it reaches nothing
	}
	elsewhere := func(host string) bool {
		ip := net.ParseIP(host)
		return host != "localhost" && !ip.IsLoopback() && !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, "@")
	}
	return cfg.TLSConfig == nil && elsewhere(cfg.Host) || slices.ContainsFunc(cfg.Fallbacks, func(f *pgconn.FallbackConfig) bool {
		return f.TLSConfig == nil && elsewhere(f.Host)
	})
}

// WithDatabase returns the URL with another database.
func WithDatabase(address, database string) string { return rewrite(address, nil, database) }

// roleURL returns the URL with another login.
func roleURL(address, role, password string) string {
	return rewrite(address, url.UserPassword(role, password), "")
}

// rewrite replaces a URL's login, its database, or both, wherever they are, and keeps the rest.
// net/url does not do, because PostgreSQL's URLs may have several hosts, and folders for hosts.
func rewrite(address string, login *url.Userinfo, database string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	had := ""
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		had, rest = rest[:at+1], rest[at+1:]
	}
	rest, query, _ := strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	if login != nil {
		had = login.String() + "@"
	}
	if database != "" {
		path = url.PathEscape(database)
	}
	var kept []string
	for parameter := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(parameter, "=")
		// Spaces around a key do not count. An invalid key is reported when the address is used.
		key, _ = url.PathUnescape(strings.Trim(key, " "))
		isLogin := key == "user" || key == "password" || key == "passfile"
		replaced := isLogin && login != nil || key == "dbname" && database != ""
		if parameter != "" && !replaced {
			kept = append(kept, parameter)
		}
	}
	result := scheme + "://" + had + host + "/" + path
	if len(kept) > 0 {
		result += "?" + strings.Join(kept, "&")
	}
	return result
}
