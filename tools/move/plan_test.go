package move_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/process"
	"example.com/shop/tools/move"
)

func run(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	ok(t, err)
	defer conn.Close(t.Context())
	_, err = conn.PgConn().Exec(t.Context(), sql).ReadAll()
	ok(t, err)
}

// What logical replication would leave behind, or what would pass by the fence, is refused before
// anything is made.
func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	p, err := m.Plan(t.Context())
	ok(t, err)
	if p.Err() != nil || p.Exists || len(p.Tables) < 5 {
		t.Fatalf("without anything in the way: %+v", p)
	}
	for _, test := range []struct{ sql, undo, want string }{
		{"CREATE TABLE parcels.bare (id int)", "DROP TABLE parcels.bare", "bare"},
		{"ALTER TABLE parcels.steps REPLICA IDENTITY NOTHING", "ALTER TABLE parcels.steps REPLICA IDENTITY DEFAULT", "steps"},
		{"CREATE UNLOGGED TABLE parcels.quick (id int PRIMARY KEY)", "DROP TABLE parcels.quick", "quick"},
		{"CREATE MATERIALIZED VIEW parcels.sums AS SELECT 1", "DROP MATERIALIZED VIEW parcels.sums", "sums"},
		{
			"ALTER TABLE parcels.parcels ENABLE ALWAYS TRIGGER counted",
			"ALTER TABLE parcels.parcels ENABLE TRIGGER counted", "parcels.counted",
		},
		{
			"CREATE FUNCTION parcels.past() RETURNS void LANGUAGE sql SECURITY DEFINER AS ''",
			"DROP FUNCTION parcels.past", "past",
		},
		{
			"CREATE TABLE public.outer (id bigint REFERENCES parcels.steps)", "DROP TABLE public.outer",
			"outer_id_fkey",
		},
		{"CREATE VIEW public.peek AS SELECT * FROM parcels.steps", "DROP VIEW public.peek", "peek"},
		{
			"GRANT pg_write_all_data TO " + m.Roles.Prefix + "parcels_rt",
			"REVOKE pg_write_all_data FROM " + m.Roles.Prefix + "parcels_rt", "pg_write_all_data",
		},
		{
			"CREATE ROLE " + m.Roles.Prefix + "reader; GRANT SELECT ON parcels.steps TO " + m.Roles.Prefix + "reader",
			"DROP OWNED BY " + m.Roles.Prefix + "reader; DROP ROLE " + m.Roles.Prefix + "reader", m.Roles.Prefix + "reader",
		},
	} {
		run(t, m.Source, test.sql)
		if err := m.Seed(t.Context()); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.sql, err)
		}
		run(t, m.Source, test.undo)
	}
	same := m
	same.Target = m.Source
	if p, err := same.Plan(t.Context()); err != nil || p.Err() == nil || !strings.Contains(p.Err().Error(), "same database") {
		t.Errorf("to itself: %+v, %v", p, err)
	}
	_, err = same.Switch(t.Context())
	refuses(t, "a switch to itself", err, "name another database")
	full := newMove(t, 1, 0)
	full.Target, full.Source, full.Roles = full.Source, m.Source, m.Roles // the rows are those of its migration
	if p, err := full.Plan(t.Context()); err != nil || p.Err() == nil || !strings.Contains(p.Err().Error(), "with rows") {
		t.Errorf("to a database with rows: %+v, %v", p, err)
	}
}

// Without a free replication origin the copy would wait without an end.
func TestPlanRefusesAServerWithoutOrigins(t *testing.T) {
	long(t)
	t.Parallel()
	m, _, target := newServers(t)
	run(t, target.URL(), `SELECT pg_replication_origin_advance(name, '0/1') FROM (
		SELECT name, pg_replication_origin_create(name) FROM (SELECT 'other' || n FROM generate_series(1, 28) AS n) AS names (name) OFFSET 0) AS made`)
	refuses(t, "the seed", m.Seed(t.Context()), "no four replication origins are free, but 2")
}

// A pooler has no sessions, and is refused; so is a server that cannot copy. An error has one line.
func TestPlanRefusesAServer(t *testing.T) {
	long(t)
	t.Parallel()
	m, _, _ := newServers(t)
	run(t, m.Source, "ALTER SYSTEM SET max_sync_workers_per_subscription = 0")
	run(t, m.Source, "SELECT pg_reload_conf()")
	refuses(t, "the seed", m.Seed(t.Context()), "max_sync_workers_per_subscription is 0")
	dead := m
	dead.Target = "postgres://nobody@127.0.0.1:1/parcels"
	if _, err := dead.Plan(t.Context()); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("of a server that is not there: %v", err)
	}
	m.Source = pooler.New(t, m.Source).Through(m.Source)
	_, err := m.Plan(t.Context())
	refuses(t, "the plan", err, "pooler")
}

// A table that one side lacks would stop the replication, and one that is not followed would be
// missing on the other side.
func TestASwitchWaitsForEveryTable(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	table := "SET ROLE " + m.Roles.Prefix + "parcels_owner; CREATE TABLE parcels.later (id int PRIMARY KEY); INSERT INTO parcels.later VALUES (1)"
	run(t, m.Target, table)
	run(t, m.Source, table)
	ctx, cancel := contextWithin(t, 2)
	defer cancel()
	if _, err := m.Switch(ctx); err == nil {
		t.Error("it goes on without a table")
	}
	seed(t, m) // adds it
	_, err := m.Switch(t.Context())
	ok(t, err)
	if got := ask(t, m.Target, "SELECT count(*)::text FROM parcels.later"); got != "1" {
		t.Errorf("%s rows have moved", got)
	}
	run(t, m.Target, table[:strings.Index(table, ";")]+"; DROP TABLE parcels.later")
	if _, err := m.Back().Switch(t.Context()); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "later") {
		t.Errorf("with a table that one side lacks: %v", err)
	}
}

// The rights on the target are those of the source, to the letter.
func TestRightsMove(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	reader := m.Roles.Prefix + `"odd reader"`
	reader = `"` + strings.ReplaceAll(reader, `"`, "") + `"`
	for _, url := range []string{m.Source, m.Target} {
		server := url[:strings.LastIndex(url, "/")] + "/postgres" + url[strings.Index(url, "?"):]
		run(t, server, "CREATE ROLE "+reader)
	}
	run(t, m.Source, "GRANT SELECT (id, n), UPDATE (n) ON parcels.steps TO "+reader+" WITH GRANT OPTION; GRANT INSERT ON parcels.days TO PUBLIC; "+
		"REVOKE DELETE ON parcels.parcels FROM "+m.Roles.Prefix+"parcels_rt")
	const rights = `SELECT string_agg(right_, E'\n' ORDER BY right_) FROM (
		SELECT table_name || ' ' || grantee || ' ' || privilege_type || ' ' || is_grantable FROM information_schema.table_privileges
		WHERE table_schema = 'parcels' AND table_name NOT IN ('home', 'marker')
		UNION SELECT table_name || '.' || column_name || ' ' || grantee || ' ' || privilege_type || ' ' || is_grantable
		FROM information_schema.column_privileges WHERE table_schema = 'parcels' AND table_name NOT IN ('home', 'marker')
	) AS r (right_)`
	want := ask(t, m.Source, rights)
	seed(t, m)
	_, err := m.Switch(t.Context())
	ok(t, err)
	if got := ask(t, m.Target, rights); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	_, err = m.Back().Switch(t.Context())
	ok(t, err)
	if got := ask(t, m.Source, rights); got != want {
		t.Errorf("back: got\n%s\nwant\n%s", got, want)
	}
}

// A right that is granted after the rights were taken away would let its owner write past the
// fence.
func TestARightThatIsGrantedInThePauseEndsIt(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 2)
	seed(t, m)
	for _, url := range []string{m.Source, m.Target} {
		m.After = func(step string) error {
			if step == "drain" {
				run(t, url, "GRANT UPDATE (n) ON parcels.steps TO PUBLIC")
			}
			return nil
		}
		if _, err := m.Switch(t.Context()); err == nil || !strings.Contains(err.Error(), "granted a right") {
			t.Errorf("it says: %v", err)
		}
		load.await(t, 20)
		run(t, url, "REVOKE UPDATE (n) ON parcels.steps FROM PUBLIC")
		seed(t, m)
	}
	for range 5 { // one that the coordinator takes away again, which must not hide it
		m.After = func(step string) error {
			if step == "drain" {
				run(t, m.Source, "GRANT INSERT ON parcels.parcels TO "+m.Roles.Prefix+"parcels_rt")
			}
			return nil
		}
		if _, err := m.Switch(t.Context()); err == nil || !strings.Contains(err.Error(), "granted a right") {
			t.Fatalf("it says: %v", err)
		}
	}
	load.check(t)
}

// Whoever reads that a right was granted learns that a writer has done it, by lifting the fence.
func TestAFenceThatIsLiftedIsNamed(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	m.After = func(step string) error {
		if step == "drain" {
			run(t, m.Source, "SELECT pg_sleep(3.1), parcels.lift_fence()")
		}
		return nil
	}
	_, err := m.Switch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "a writer after the deadline") {
		t.Errorf("it says: %v", err)
	}
}

// Finish leaves nothing on the side that is not the home, nor of the move.
func TestFinish(t *testing.T) {
	t.Parallel()
	for name, out := range map[string]bool{"after the switch": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMove(t, 0, 1)
			load := write(t, m, 1)
			seed(t, m)
			home, left, record := m.Source, m.Target, ""
			if out {
				done, err := m.Switch(t.Context())
				ok(t, err)
				record = done.Record
				home, left = left, home
				if other, err := move.Other(t.Context(), m.Source, m.Module); err != nil || other != m.Target {
					t.Errorf("the other side is %s, %v; want %s", other, err, m.Target)
				}
			}
			load.await(t, 20)
			load.end()
			want := map[bool]string{true: "back or finish", false: "switch"}[out]
			s, err := m.Status(t.Context())
			for deadline := time.Now().Add(time.Minute); err == nil && s.Do != want && time.Now().Before(deadline); s, err = m.Status(t.Context()) {
				time.Sleep(100 * time.Millisecond) // what other tests write puts the copy behind, too
			}
			if err != nil || len(s.Wrong) > 0 || s.Do != want {
				t.Errorf("the status is %+v, %v", s, err)
			}
			e, err := m.Ending(t.Context())
			ok(t, err)
			if e.Back != out || e.Compared != out || len(e.Tables) == 0 || e.Record != record {
				t.Errorf("it would drop %+v", e)
			}
			ok(t, m.Finish(t.Context()))
			if s, err := m.Status(t.Context()); err != nil || s.Record != record {
				t.Errorf("the record is lost: %+v, %v", s, err)
			}
			prefix := m.Roles.Prefix
			for _, url := range []string{home, left} {
				const remains = `SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())
					+ (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_subscription AS s JOIN pg_database AS d
						ON d.oid = s.subdbid WHERE d.datname = current_database())`
				if got := ask(t, url, "SELECT ("+remains+")::text"); got != "0" {
					t.Errorf("%s: %s things remain of the move", url, got)
				}
			}
			if got := ask(t, left, "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'parcels')::text || "+
				"(SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '"+prefix+"'))"); got != "00" {
				t.Errorf("on the side that is left remain %s schemas and roles", got)
			}
			run(t, m.Roles.RuntimeURL(home, m.Module), "INSERT INTO parcels (id, cents) VALUES (gen_random_uuid(), 1)")
			if got := ask(t, home, "SELECT count(*)::text FROM parcels.home"); got != "0" {
				t.Error("the home says that it has moved")
			}
		})
	}
}
