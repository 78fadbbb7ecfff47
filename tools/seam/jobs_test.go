package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// job puts a job into a module's schema.
func (o operator) job(t *testing.T, module, kind, reason string, dead bool) (id uuid.UUID) {
	t.Helper()
	id = uuid.New()
	o.exec(t, module, `
		INSERT INTO jobs (id, kind, key, args, cause, tries, due_at, reason, created_at, dead_at)
		VALUES ($1, $2, 'the-key', '{"to":"private"}', '{}', 7, now() + interval '1 hour', $3, clock_timestamp(), CASE WHEN $4 THEN now() END)`,
		id, kind, reason, dead)
	return id
}

func TestJobsListAndRedrive(t *testing.T) {
	t.Parallel()
	one, other := twoModules(t)
	o := newOperator(t, one, other)
	const busy, unknown = "refused us with \x1b[2J 554\ngoroutine 1 [running]", "refused the parcel with 550 5.1.1"
	first, second := o.job(t, other, "parcel", unknown, true), o.job(t, other, "parcel", unknown, true)
	waits, toll := o.job(t, other, "parcel", busy, false), o.job(t, one, "toll", "declined", true)

	list := func(verb string) (all []moduleJobs) {
		t.Helper()
		printed, said, code := o.call(t, "jobs "+verb+" --json")
		if err := json.Unmarshal([]byte(printed), &all); err != nil || code != 0 || len(all) != 2 || strings.Contains(printed, "private") {
			t.Fatalf("exit code %d, printed %q, said %q: %v", code, printed, said, err)
		}
		return all
	}
	unfinished := list("unfinished")
	if got := unfinished[1]; len(unfinished[0].Jobs) != 0 || got.Count != 1 || got.Jobs[0].ID != waits || got.Jobs[0].Due == nil ||
		got.Jobs[0].DeadSince != nil || got.Jobs[0].Tries != 7 {
		t.Errorf("unfinished are %+v", unfinished)
	}
	dead := list("dead")
	if got := dead[1]; dead[0].Jobs[0].ID != toll || got.Count != 2 || got.Jobs[0].ID != first || got.Jobs[1].ID != second ||
		got.Jobs[0].DeadSince == nil || got.Jobs[0].Due != nil || got.Jobs[0].Reason != unknown {
		t.Errorf("dead are %+v", dead)
	}
	for verb, want := range map[string][]string{
		"unfinished":     {"MODULE JOB KIND KEY TRIES SINCE DUE REASON", waits.String() + " parcel the-key 7 20", "refused us with [2J 554"},
		"dead":           {"SINCE DEAD SINCE REASON", one + " " + toll.String() + " toll the-key 7 20", unknown},
		"dead --limit 1": {first.String(), other + " has 1 more; --limit lists them"},
	} {
		printed, said, code := o.call(t, "jobs "+verb)
		got := strings.Join(strings.Fields(printed), " ")
		for _, part := range want {
			if code != 0 || !strings.Contains(got, part) || strings.Contains(printed, "private") || strings.Contains(printed, "goroutine") {
				t.Errorf("%s: exit code %d, said %q, printed\n%s\nwant %q", verb, code, said, printed, part)
			}
		}
	}

	if printed, said, code := o.call(t, "jobs redrive "+first.String()); code != 0 || !strings.Contains(printed, "1 redriven") {
		t.Errorf("exit code %d, printed %q, said %q", code, printed, said)
	}
	if got := list("unfinished")[1]; got.Count != 2 || got.Jobs[0].ID != first || got.Jobs[0].Due.After(time.Now()) || got.Jobs[0].Tries != 7 {
		t.Errorf("after that: %+v", got)
	}
	// Ids that are not dead are named, and the others redriven; flags may follow ids.
	ids := []string{first.String(), second.String(), uuid.NewString(), second.String()}
	printed, said, code := o.call(t, "jobs redrive "+strings.Join(ids, " ")+" --json")
	if code != 2 || !strings.Contains(printed, `"redriven":1`) || !strings.Contains(said, ids[0]+", "+ids[2]+";") || strings.Contains(said, ids[1]) {
		t.Errorf("of several: exit code %d, printed %q, said %q", code, printed, said)
	}
	for _, want := range []string{one + " 1 redriven " + other + " 0 redriven", one + " 0 redriven " + other + " 0 redriven"} {
		if printed, _, code := o.call(t, "jobs redrive --all"); code != 0 || strings.Join(strings.Fields(printed), " ") != want {
			t.Errorf("exit code %d, printed %q, want %s", code, printed, want)
		}
	}
	if got := list("dead"); got[0].Count+got[1].Count != 0 || got[0].Jobs == nil {
		t.Errorf("dead are still %+v", got)
	}
}

// The rest of what can be said wrongly is as with seam events.
func TestJobsBadUse(t *testing.T) {
	t.Parallel()
	o := newOperator(t, aModule())
	for args, says := range map[string]string{
		"":         "say unfinished, dead or redrive",
		"purge":    "say unfinished, dead or redrive",
		"dead all": "is more than seam jobs dead takes",
		"redrive":  "name either ids, which seam jobs dead lists",
	} {
		printed, said, code := o.call(t, "jobs "+args)
		if code != 2 || !strings.Contains(said, says) || printed != "" || strings.Count(strings.TrimSpace(said), "\n") != 0 {
			t.Errorf("seam jobs %s: exit code %d, said %q, printed %q; want 2 and %q", args, code, said, printed, says)
		}
	}
	for _, args := range []string{"", "unfinished", "dead", "redrive"} {
		if printed, _, code := o.call(t, "jobs "+args+" --help"); code != 0 || !strings.Contains(printed, "seam jobs "+args) {
			t.Errorf("help of %q: exit code %d, printed %q", args, code, printed)
		}
	}
}

// PostgreSQL shows the verb as a connection's name.
func TestJobsNamesItsConnections(t *testing.T) {
	t.Setenv(setting(aModule()), newOperator(t).db.URL(aModule()))
	c := newCall("jobs unfinished")
	c.modules = aModule()
	schemas, closeAll, err := c.open(t.Context())
	defer closeAll()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if err := schemas[0].pool.QueryRow(t.Context(), "SHOW application_name").Scan(&name); err != nil || name != "seam jobs unfinished" {
		t.Errorf("it is called %q, %v", name, err)
	}
}
