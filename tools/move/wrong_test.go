package move_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/move"
)

// refuses checks that an error is one of use, with a text in it.
func refuses(t *testing.T, what string, err error, want string) {
	t.Helper()
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want a usage error with %q", what, err, want)
	}
}

// Another operator seeds and switches between the plan of a seed and its first change.
func TestASeedAfterAnothersSwitchChangesNothing(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	late := m
	late.Migrate = func(ctx context.Context, url string) error {
		ok(t, m.Seed(ctx))
		_, err := m.Switch(ctx)
		ok(t, err)
		return migrate(ctx, url)
	}
	refuses(t, "the late seed", late.Seed(t.Context()), "seam move status says what to do")
	for _, url := range []string{m.Source, m.Target} {
		if ask(t, url, "SELECT count(*)::text FROM parcels.parcels") != "1" {
			t.Errorf("the row is gone from %s", url)
		}
	}
	s, err := m.Status(t.Context())
	if err != nil || s.Home != s.Sides[1].Address || !s.Sides[1].Writable {
		t.Errorf("the status is %+v, %v", s, err)
	}
}

// A third database that is named by mistake is neither opened nor dropped.
func TestAThirdDatabaseIsLeftAlone(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	crash(t, m, "open") // the source is at opening, and only the target knows that it is the home
	third := newMove(t, 0, 1)
	wrong := m
	wrong.After, wrong.Target = nil, third.Source
	for name, do := range map[string]func(move.Move) error{
		"recover": func(m move.Move) error { _, err := m.Recover(t.Context()); return err },
		"switch":  func(m move.Move) error { _, err := m.Switch(t.Context()); return err },
		"finish":  func(m move.Move) error { return m.Finish(t.Context()) },
		"seed":    func(m move.Move) error { return m.Seed(t.Context()) },
	} {
		if err := do(wrong); err == nil {
			t.Errorf("%s does something to a third database", name)
		} else {
			t.Log(name, err)
		}
	}
	m.After = nil
	_, err := m.Recover(t.Context())
	ok(t, err)
	refuses(t, "finish", wrong.Finish(t.Context()), "not "+"postgres://")
	if ask(t, third.Source, "SELECT count(*)::text FROM parcels.parcels") != "1" {
		t.Error("the third database has lost its row")
	}
	s, err := m.Status(t.Context())
	if err != nil || s.Home != s.Sides[1].Address || s.Sides[0].Writable {
		t.Errorf("the status is %+v, %v", s, err)
	}
}

// Finish dies after each of its steps, and is repeated. Then the module moves again.
func TestFinishIsRepeated(t *testing.T) {
	long(t)
	t.Parallel()
	for _, step := range []string{"streams", "schema", "roles"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			m := newMove(t, 0, 1)
			seed(t, m)
			_, err := m.Switch(t.Context())
			ok(t, err)
			dying := m
			dying.After = func(done string) error {
				if done == step {
					return errCrash
				}
				return nil
			}
			if err := dying.Finish(t.Context()); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			ok(t, m.Finish(t.Context()))
			again := m.Back() // to the database that was left
			seed(t, again)
			_, err = again.Switch(t.Context())
			ok(t, err)
		})
	}
}

// A migration that only one side has is in the way.
func TestAMigrationOfOneSideIsInTheWay(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	ask(t, m.Source, "WITH m AS (INSERT INTO parcels.module_version (version_id, is_applied) VALUES (7, true) RETURNING 1) SELECT count(*)::text FROM m")
	_, err := m.Switch(t.Context())
	refuses(t, "the switch", err, "migration 7 of the module is only in")
}

// A seed that ends before the copy begins leaves what migrations insert, and the next one goes on, or
// finish ends it.
func TestAnInterruptedSeedGoesOn(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	interrupt := func() {
		t.Helper()
		m.After = func(step string) error {
			if step == "migrate" {
				return errCrash
			}
			return nil
		}
		if err := m.Seed(t.Context()); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		m.After = nil
	}
	interrupt()
	refuses(t, "finish the other way around", m.Back().Finish(t.Context()), "comes first")
	ok(t, m.Finish(t.Context()))
	if ask(t, m.Target, "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'parcels'") != "0" {
		t.Error("the schema is there after finish")
	}
	interrupt()
	seed(t, m)
	second := m
	second.Target = postgres.WithDatabase(m.Target, "beside")
	refuses(t, "a second target, which is not there yet", second.Seed(t.Context()), "already: seam move finish parcels --to")
}

// Before a seed, and where nobody answers, each verb says in one line what comes first.
func TestWhatComesFirst(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	verbs := map[string]func(move.Move) error{
		"rehearse": func(m move.Move) error { return m.Rehearse(t.Context()) },
		"switch":   func(m move.Move) error { _, err := m.Switch(t.Context()); return err },
		"back":     func(m move.Move) error { _, err := m.Back().Switch(t.Context()); return err },
		"finish":   func(m move.Move) error { _, err := m.Ending(t.Context()); return err },
	}
	nowhere, dead, keywords, stranger, nameless, there := m, m, m, m, m, m
	nowhere.Target = postgres.WithDatabase(m.Target, "beside")
	dead.Target = "postgres://u:secret@127.0.0.1:1/parcels"
	keywords.Target = "host=127.0.0.1 port=1 user=u password=secret dbname=parcels"
	bare, err := url.Parse(m.Target)
	ok(t, err)
	empty := strings.TrimPrefix(bare.Path, "/") + "_empty"
	// Not postgres: recover ends the sessions of coordinators, and other tests' plans look on there.
	run(t, postgres.WithDatabase(m.Target, "postgres"), "CREATE DATABASE "+empty)
	there.Target = postgres.WithDatabase(m.Target, empty)
	bare.Path = "/"
	nameless.Target = bare.String()
	stranger.Target = strings.Replace(m.Target, "://postgres", "://nobody", 1)
	for verb, do := range verbs {
		refuses(t, verb+" to a database that is not there", do(nowhere), "/beside does not exist: DATABASE_URL is where")
		refuses(t, verb+" to no database", do(nameless), "names no database")
		refuses(t, verb+" as nobody", do(stranger), "refuses this connection")
		for want, m := range map[string]move.Move{"postgres://127.0.0.1:1/parcels does not answer": dead, "one side does not answer": keywords} {
			if err := do(m); errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s to a server that does not answer: %v", verb, err)
			}
		}
		refuses(t, verb+" before a seed", do(there), "seam move seed parcels --to ADMIN-URL comes first")
	}
	if outcome, err := there.Recover(t.Context()); err != nil || !strings.Contains(outcome, "nothing to settle") {
		t.Errorf("recover before a seed: %q, %v", outcome, err)
	}
	seed(t, m)
	_, err = m.Switch(t.Context())
	ok(t, err)
	refuses(t, "a second switch", verbs["switch"](m), "is at home in")
}

// The rows of a seed that ended between them, and of a copy that was given up and came back, say
// that the side without a row is the home.
func TestASideWithoutARowIsTheHome(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	seed(t, m)
	run(t, m.Source, "DELETE FROM parcels.home")
	for epoch, want := range map[string][2]string{
		"0": {"a seed of", "seed"}, "2": {"was given up. To use that database again, end what it would follow", ""},
	} {
		run(t, m.Target, "UPDATE parcels.home SET epoch = "+epoch)
		s, err := m.Status(t.Context())
		if err != nil || !strings.Contains(s.Says, want[0]) || s.Do != want[1] || len(s.Wrong) > 0 {
			t.Errorf("at epoch %s the status is %+v, %v", epoch, s, err)
		}
		outcome, err := m.Recover(t.Context())
		if err != nil || !strings.Contains(outcome, "is at home in "+s.Sides[0].Address) {
			t.Errorf("at epoch %s recover says %q, %v", epoch, outcome, err)
		}
	}
	run(t, m.Target, "UPDATE parcels.home SET epoch = 0")
	seed(t, m)
}
