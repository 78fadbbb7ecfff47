package move_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"example.com/shop/tools/move"
)

var errCrash = errors.New("the coordinator dies")

// pauseSteps are those within the pause; a fence can be lifted until the sequences.
var (
	pauseSteps = []string{"fence", "in flight", "drain", "sequences", "intent", "pin", "open"}
	afterSteps = []string{"standby", "verify", "forward off", "way back"}
)

// atHome returns the move from where the data is now.
func atHome(t *testing.T, m move.Move) move.Move {
	t.Helper()
	if ask(t, m.Target, "SELECT state FROM parcels.home") == "home" {
		return m.Back()
	}
	return m
}

func ask(t *testing.T, url, query string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	ok(t, err)
	defer conn.Close(context.Background())
	ok(t, conn.QueryRow(t.Context(), query).Scan(&answer))
	return answer
}

// crash begins a switch, and ends it without a trace after the step.
func crash(t *testing.T, m move.Move, step string) {
	t.Helper()
	m.After = func(done string) error {
		if done == step {
			return errCrash
		}
		return nil
	}
	if _, err := m.Switch(t.Context()); !errors.Is(err, errCrash) {
		t.Fatalf("it does not get to %s: %v", step, err)
	}
}

// The coordinator dies after each step, and another one settles the move, twice.
func TestACoordinatorThatDiesIsRecoveredFrom(t *testing.T) {
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 2)
	seed(t, m)
	for _, m := range []move.Move{m, m.Back()} { // both have records, which say nothing of what comes
		_, err := m.Switch(t.Context())
		ok(t, err)
	}
	steps := []string{"fence", "intent", "open", "standby"}
	if os.Getenv("SEAM_LONG") != "" {
		steps = append(append([]string{"gate", "way-back slot", "calm"}, pauseSteps...), afterSteps...)
	}
	for _, step := range steps {
		load.await(t, 20)
		m = atHome(t, m)
		t.Logf("dies after %s", step)
		crash(t, m, step)
		if slices.Contains([]string{"way-back slot", "calm", "intent", "open", "standby", "verify", "forward off"}, step) {
			if s, err := m.Status(t.Context()); err != nil || s.Do != "recover" || len(s.Wrong) > 0 {
				t.Errorf("after %s the status is %+v, %v", step, s, err)
			}
		}
		if step == "intent" && ask(t, m.Source, "SELECT parcels.lift_fence()::text") != "false" {
			t.Error("the fence is lifted although the other side may be open")
		}
		if step == "way-back slot" { // a seed restores what it publishes, too
			m.After = nil
			seed(t, m)
			if ask(t, m.Target, "SELECT pubinsert::text FROM pg_publication") != "true" {
				t.Error("the target publishes nothing after a seed")
			}
		}
		for range 2 {
			outcome, err := m.Recover(t.Context())
			ok(t, err)
			t.Log(outcome)
		}
		for _, url := range []string{m.Source, m.Target} { // or a later copy would never get anything from there
			if ask(t, url, "SELECT pubinsert::text FROM pg_publication") != "true" {
				t.Errorf("after %s a side publishes nothing", step)
			}
		}
		if slices.Contains([]string{"open", "standby"}, step) { // it has moved, and nothing was compared
			if s, err := m.Status(t.Context()); err != nil || s.Record != "" || s.Do != "back" {
				t.Errorf("after %s the status is %+v, %v", step, s, err)
			}
		}
		load.await(t, 20)
	}
	m = atHome(t, m)
	_, err := m.Switch(t.Context())
	ok(t, err)
	load.check(t)
}

// Nobody settles it. A writer lifts the fence when its deadline is over.
func TestACoordinatorThatDiesIsReplacedByAWriter(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 2)
	seed(t, m)
	for _, step := range pauseSteps[:4] {
		load.await(t, 20)
		crash(t, m, step)
		load.await(t, 20) // more than 3 s
		if ask(t, m.Source, "SELECT state FROM parcels.home") != "home" {
			t.Errorf("after %s the source is not the home again", step)
		}
	}
	_, err := m.Switch(t.Context())
	ok(t, err)
	load.await(t, 20)
	load.check(t)
}

// The coordinator hangs; another one settles the move; then the first goes on.
func TestACoordinatorThatWakesUpDoesNothing(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 2)
	seed(t, m)
	source := ask(t, m.Target, "SELECT elsewhere FROM parcels.home")
	for _, step := range pauseSteps[:6] {
		sleeping := m
		sleeping.After = func(done string) error {
			if done != step {
				return nil
			}
			outcome, err := m.Recover(t.Context())
			if err != nil || !strings.Contains(outcome, "is at home in "+source) { // again, unless a writer was first
				t.Errorf("after %s: %s, %v", step, outcome, err)
			}
			load.await(t, 20)
			return nil
		}
		if _, err := sleeping.Switch(t.Context()); err == nil {
			t.Errorf("it goes on after %s", step)
		}
		load.await(t, 20)
	}
	_, err := m.Switch(t.Context())
	ok(t, err)
	load.check(t)
}

// Whoever runs the move interrupts it in the pause: it is undone at once.
func TestAnInterruptedPauseIsUndone(t *testing.T) {
	long(t)
	t.Parallel()
	m := newMove(t, 0, 1)
	load := write(t, m, 2)
	seed(t, m)
	ctx, interrupt := context.WithCancel(t.Context())
	m.After = func(step string) error {
		if step == "drain" {
			interrupt()
		}
		return nil
	}
	if _, err := m.Switch(ctx); err == nil || !strings.Contains(err.Error(), "at home in") {
		t.Errorf("it says: %v", err)
	}
	load.await(t, 20)
	if ask(t, m.Source, "SELECT state FROM parcels.home") != "home" {
		t.Error("it is not undone")
	}
	load.check(t)
}
