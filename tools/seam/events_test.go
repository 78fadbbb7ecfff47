package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/tools/topology"
)

// operator has the runtime connections of some modules.
type operator struct {
	db  *pgtest.DB
	env []string
}

func newOperator(t *testing.T, modules ...string) operator {
	t.Helper()
	var schemas []pgtest.Schema
	for _, m := range topology.Modules {
		schemas = append(schemas, pgtest.Schema{Module: m, Migrations: os.DirFS("../../migrations/" + m)})
	}
	db := pgtest.New(t, schemas...)
	var env []string
	for _, m := range modules {
		env = append(env, setting(m)+"="+db.URL(m))
	}
	return operator{db, env}
}

// run calls seam events.
func (o operator) run(t *testing.T, args string) (printed, said string, code int) {
	t.Helper()
	return o.call(t, "events "+args)
}

// call returns what a call of seam printed, what it said on standard error, and its exit code.
func (o operator) call(t *testing.T, args string) (printed, said string, code int) {
	t.Helper()
	return call(t, o.env, "seam", strings.Fields(args)...)
}

// expect fails unless the call ends well and its table, without its spaces, has each of these.
func (o operator) expect(t *testing.T, args string, wanted ...string) {
	t.Helper()
	printed, said, code := o.run(t, args)
	if code != 0 {
		t.Fatalf("%s: exit code %d, said %s", args, code, said)
	}
	got := strings.Join(strings.Fields(printed), " ")
	for _, want := range wanted {
		if !strings.Contains(got, want) {
			t.Errorf("%s printed\n%s\nwant %q", args, printed, want)
		}
	}
}

// connections returns the settings of all modules' connections, without one.
func connections(without string) string {
	var settings []string
	for _, m := range topology.Modules {
		if m != without {
			settings = append(settings, strings.ToUpper(m)+"_DATABASE_URL")
		}
	}
	return strings.Join(settings, ", ")
}

// ask returns what a call prints with --json.
func ask[R any](t *testing.T, o operator, args string) (answers []R) {
	t.Helper()
	printed, said, code := o.run(t, args+" --json")
	if code != 0 {
		t.Fatalf("%s: exit code %d, said %s", args, code, said)
	}
	if err := json.Unmarshal([]byte(printed), &answers); err != nil {
		t.Fatalf("%s printed %q: %v", args, printed, err)
	}
	return answers
}

func (o operator) exec(t *testing.T, module, sql string, args ...any) {
	t.Helper()
	if _, err := o.db.Module(t, module).Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// wrote inserts events of this age into an outbox, published or not yet.
func (o operator) wrote(t *testing.T, module string, count int, written time.Duration, published bool) {
	t.Helper()
	o.exec(t, module, `
		WITH made AS (
			INSERT INTO outbox (id, topic, key, payload, headers, created_at)
			SELECT (lpad(to_hex((extract(epoch FROM now() - $2::interval) * 1000)::bigint), 12, '0') || right(md5(random()::text), 20))::uuid,
				'some.thing.v1', 'x', '{}', '{}', now() - $2::interval FROM generate_series(1, $1)
			RETURNING id, topic, created_at)
		INSERT INTO outbox_pending (event_id, topic, created_at) SELECT id, topic, created_at FROM made WHERE NOT $3`,
		count, written, published)
}

// died inserts a failed event, which is dead unless it is still retried.
func (o operator) died(t *testing.T, module string, retried bool, payload string) (id uuid.UUID) {
	t.Helper()
	id = uuid.New()
	o.exec(t, module, `
		INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at, dead_at)
		VALUES ($1, 'some.thing.v1', $2, '{}', 8, E'no such \x1b[2Jlamp\ngoroutine 1 [running]', now() + interval '1 hour', CASE WHEN NOT $3 THEN now() END)`,
		id, []byte(payload), retried)
	return id
}

func TestEventsBadUse(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, one)
	stranger := operator{env: []string{setting(one) + "=" + o.db.URL(other), setting(other) + "=postgres://["}}
	admin := operator{env: []string{setting(one) + "=" + o.db.AdminURL()}}
	for name, test := range map[string]struct {
		operator operator
		args     string
		says     string
	}{
		"no verb":               {o, "", "say lag, dead, redrive, replay, bus or provision"},
		"unknown verb":          {o, "purge", "say lag, dead, redrive, replay, bus or provision"},
		"unknown flag":          {o, "lag --fast", "-fast; see seam events lag --help"},
		"a word too many":       {o, "lag now", `"now" is more than seam events lag takes`},
		"nothing set":           {operator{}, "lag", "not set: " + connections("")},
		"the module unset":      {o, "lag --module " + one + "," + other, "not set: " + setting(other)},
		"no such module":        {o, "dead --module no-such", `no module "no-such"; there are ` + one + ", " + other},
		"another's connection":  {stranger, "redrive --all --module " + one, setting(one) + `: it leads to the schema "` + other + `"`},
		"an admin's connection": {admin, "lag --module " + one, setting(one) + `: it leads to the schema "public"`},
		"no URL":                {stranger, "bus --module " + other, setting(other)},
		"a bad setting":         {operator{env: append([]string{"EVENTS_POLL=often"}, o.env...)}, "lag", "EVENTS_POLL"},
		"a limit of 0":          {o, "dead --limit 0", "--limit must be at least 1"},
		"redrive of nothing":    {o, "redrive", "name either ids, which seam events dead lists"},
		"redrive of all and":    {o, "redrive --all " + uuid.NewString(), "or --all"},
		"redrive of a name":     {o, "redrive the-first", "is no id; seam events dead"},
		"replay of ever":        {o, "replay", "say since when, as in --since 2h"},
		"replay of long ago":    {o, "replay --since 169h", "EVENTS_OUTBOX_RETENTION"},
		"replay of last year":   {o, "replay --dry-run --since 2020-01-01T00:00:00Z", "ask for --since 168h0m0s at most"},
		"replay of tomorrow":    {o, "replay --since -2h", "is in the future"},
		"replay of lunchtime":   {o, "replay --since noon", "is not like --since 2h"},
		"an unknown bus":        {o, "bus kafka", `there is no bus "kafka"; there are memory and nats`},
		"two buses":             {o, "bus memory nats", "is more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed, said, code := test.operator.run(t, test.args)
			if code != 2 || !strings.Contains(said, test.says) || printed != "" {
				t.Errorf("exit code %d, said %q, printed %q; want 2 and %q", code, said, printed, test.says)
			}
			if lines := strings.Count(strings.TrimSpace(said), "\n") + 1; lines != 1 {
				t.Errorf("the error has %d lines:\n%s", lines, said)
			}
		})
	}
	for _, verb := range []string{"", "lag", "dead", "redrive", "replay", "bus"} {
		operator{}.expect(t, verb+" --help", "seam events "+verb)
	}
}
