package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/platform/events"
	"example.com/shop/tools/topology"
)

func TestEventsLag(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, topology.Modules...)
	now := time.Duration(0)
	o.wrote(t, one, 3, 90*time.Minute, false)
	o.wrote(t, one, 2, now, true)
	o.died(t, other, true, "{}")
	o.died(t, other, false, "{}")
	o.exec(t, one, "UPDATE outbox_pending SET replays = 1 WHERE event_id = (SELECT event_id FROM outbox_pending LIMIT 1)")
	wanted := []string{one + " 3 1h30m", "1 0 0", other + " 0 - 0 1 1"}
	for _, m := range topology.Modules[2:] {
		wanted = append(wanted, m+" 0 - 0 0 0")
	}
	o.expect(t, "lag", wanted...)
	lags := ask[lag](t, o, "lag --module "+one+","+other)
	if len(lags) != 2 || lags[0].OldestSeconds < 5400 || lags[0].OldestSeconds > 5500 {
		t.Fatalf("got %+v", lags)
	}
	lags[0].OldestSeconds = 0
	if want := (lag{Module: one, Unpublished: 3, Replayed: 1}); lags[0] != want {
		t.Errorf("got %+v, want %+v", lags[0], want)
	}
	if want := (lag{Module: other, Retrying: 1, Dead: 1}); lags[1] != want {
		t.Errorf("got %+v, want %+v", lags[1], want)
	}
}

// Verbs that read show the modules that can be reached. Verbs that change something need all.
func TestEventsOfSomeModules(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, other)
	o.died(t, other, false, "{}")
	printed, said, code := o.run(t, "lag --json")
	if code != 0 || !strings.Contains(said, connections(other)) || !strings.Contains(printed, `"dead":1`) {
		t.Errorf("with one module set: exit code %d, said %q, printed %q", code, said, printed)
	}
	o.env = append(o.env, setting(one)+"=postgres://user@127.0.0.1:1/none")
	for _, verb := range []string{"lag", "dead"} {
		printed, said, code := o.run(t, verb)
		if code != 1 || !strings.Contains(said, setting(one)) || !strings.Contains(said, "connection refused: start the server") || !strings.Contains(printed, other) {
			t.Errorf("%s with one module away: exit code %d, said %q, printed %q", verb, code, said, printed)
		}
	}
	for _, args := range []string{"redrive --all", "replay --since 1h", "bus nats"} {
		if printed, said, code := o.run(t, args); code != 1 || printed != "" {
			t.Errorf("%s with one module away: exit code %d, said %q, printed %q", args, code, said, printed)
		}
	}
	if got := ask[deadLetters](t, o, "dead --module "+other); len(got) != 1 || got[0].Dead != 1 {
		t.Errorf("it was redriven all the same: %+v", got)
	}
}

func TestEventsDeadAndRedrive(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, topology.Modules...)
	var ids []uuid.UUID
	for _, payload := range []string{`{"email":"ada@mail.example"}`, `not json ada@mail.example`, `{}`} {
		ids = append(ids, o.died(t, one, false, payload))
	}
	retried := o.died(t, one, true, "{}")
	o.exec(t, other, `INSERT INTO failed (event_id, topic, payload, headers, attempts, reason, next_at, dead_at)
		VALUES ($1, 'some.thing.v1', '', '{}', 1, 'full', now(), now())`, ids[0])

	printed, _, _ := o.run(t, "dead")
	if strings.Contains(printed, "ada@") || strings.Contains(printed, "goroutine") || strings.Contains(printed, "\x1b") || strings.Contains(printed, retried.String()) {
		t.Errorf("dead prints too much:\n%s", printed)
	}
	o.expect(t, "dead", one+" "+ids[0].String()+" some.thing.v1 8 20", "no such [2Jlamp", other+" "+ids[0].String())
	o.expect(t, "dead --limit 1", one+" has 2 more")
	letters := ask[deadLetters](t, o, "dead --payload --limit 2 --module "+one)
	if len(letters) != 1 || letters[0].Dead != 3 || len(letters[0].Letters) != 2 {
		t.Fatalf("got %+v", letters)
	}
	if got := string(letters[0].Letters[0].Payload) + string(letters[0].Letters[1].Payload); got != `{"email":"ada@mail.example"}"not json ada@mail.example"` {
		t.Errorf("the payloads are %s", got)
	}
	for _, m := range topology.Modules[2:] {
		if got := ask[deadLetters](t, o, "dead --module "+m); len(got) != 1 || got[0].Letters == nil {
			t.Errorf("none are %+v", got)
		}
	}

	// An event is dead, and redriven, in each module by itself.
	want := one + " 1 redriven " + other + " 1 redriven"
	for _, m := range topology.Modules[2:] {
		want += " " + m + " 0 redriven"
	}
	o.expect(t, "redrive "+ids[0].String(), want)
	if _, said, code := o.run(t, "redrive "+ids[0].String()); code != 2 || !strings.Contains(said, "not dead in any module that was asked") {
		t.Errorf("again: exit code %d, said %q", code, said)
	}
	printed, said, code := o.run(t, fmt.Sprintf("redrive %s %s", ids[0], ids[1]))
	if code != 2 || !strings.Contains(printed, "1 redriven") || !strings.Contains(said, ids[0].String()) || strings.Contains(said, ids[1].String()) {
		t.Errorf("one of two: exit code %d, printed %q, said %q", code, printed, said)
	}
	if got := ask[redriven](t, o, "redrive --all"); len(got) != len(topology.Modules) || got[0] != (redriven{one, 1}) || got[1].Redriven != 0 {
		t.Errorf("all the others: %+v", got)
	}
	if got := ask[lag](t, o, "lag"); got[0].Retrying != 4 || got[0].Dead != 0 {
		t.Errorf("after that: %+v", got)
	}
}

func TestEventsReplay(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, one, other)
	recent, old := 10*time.Minute, 3*time.Hour
	o.wrote(t, one, 5, recent, true)
	o.wrote(t, one, 7, old, true)
	o.wrote(t, other, 1, recent, false)
	o.expect(t, "replay --since 1h --dry-run", one+" 5 would be replayed "+other+" 1 would be replayed")
	o.expect(t, "replay --dry-run --since "+time.Now().Add(-4*time.Hour).Format(time.RFC3339), one+" 12 would be")
	if got := ask[replayed](t, o, "replay --since 1h"); len(got) != 2 || got[0] != (replayed{one, 5}) || got[1] != (replayed{other, 1}) {
		t.Errorf("got %+v", got)
	}
	o.expect(t, "replay --since 168h", one+" 12 replayed")
	if got := ask[lag](t, o, "lag"); got[0].Unpublished != 12 || got[0].Replayed != 12 {
		t.Errorf("after that: %+v", got)
	}
	o.env = append(o.env, "EVENTS_OUTBOX_RETENTION=2h")
	if _, said, code := o.run(t, "replay --since 3h"); code != 2 || !strings.Contains(said, "ask for --since 2h0m0s at most") {
		t.Errorf("beyond what is kept: exit code %d, said %q", code, said)
	}
}

// A long replay prints its progress.
func TestEventsReplayProgress(t *testing.T) {
	t.Parallel()
	one := aModule()
	o := newOperator(t, one)
	now := time.Duration(0)
	o.wrote(t, one, 2500, now, true)
	_, err := o.db.Admin(t).Exec(t.Context(), strings.ReplaceAll(`
		CREATE FUNCTION MODULE.slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.2); RETURN NULL; END $$;
		CREATE TRIGGER slowly AFTER INSERT ON MODULE.outbox_pending FOR EACH STATEMENT EXECUTE FUNCTION MODULE.slowly()`, "MODULE", one))
	if err != nil {
		t.Fatal(err)
	}
	printed, said, code := o.run(t, "replay --since 1h --module "+one)
	if code != 0 || !strings.HasPrefix(said, one+": 2000 of 2500 replayed") || !strings.Contains(printed, "2500 replayed") {
		t.Errorf("exit code %d, said %q, printed %q", code, said, printed)
	}
}

func TestEventsBus(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, topology.Modules...)
	o.expect(t, "bus", one+" none")
	for _, m := range topology.Modules {
		if err := events.RecordBus(t.Context(), o.db.Module(t, m), "memory", topology.Modules); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range topology.Modules {
		o.expect(t, "bus", m+" memory")
	}
	o.expect(t, "bus nats", one+" nats (was memory)", "one by one with BUS=nats",
		"seam events provision")
	if err := events.RecordBus(t.Context(), o.db.Module(t, one), "memory", topology.Modules); !errors.Is(err, events.ErrOtherBus) {
		t.Errorf("a process in memory starts all the same: %v", err)
	}
	o.expect(t, "bus memory --module "+one, fmt.Sprintf("%d modules were not asked", len(topology.Modules)-1))
	if _, said, code := o.run(t, "bus"); code != 2 || !strings.Contains(said, "different buses") {
		t.Errorf("of a mix: exit code %d, said %q", code, said)
	}
	// The recommended replay is accepted, and reaches back before the switch.
	printed, _, _ := o.run(t, "bus memory")
	_, recommended, _ := strings.Cut(printed, "seam events replay ")
	recommended, _, _ = strings.Cut(recommended, "\n")
	before := 30 * time.Minute
	o.wrote(t, other, 1, before, true)
	o.expect(t, "replay --dry-run "+recommended, other+" 1 would")
	for _, b := range ask[recordedBus](t, o, "bus memory") {
		if b.Bus != "memory" || b.Was != "memory" {
			t.Errorf("got %+v", b)
		}
	}
}
