package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"example.com/shop/platform/postgres"
)

const (
	fenceLimit    = 3 * time.Second        // after it anyone may lift the fence
	patience      = 300 * time.Millisecond // with transactions in flight, before they are terminated
	inFlightLimit = 1500 * time.Millisecond
	slowLimit     = time.Second      // of one statement within the pause
	slotLimit     = 10 * time.Second // of the slot, which waits for every transaction of its server
	calm          = 10 * time.Millisecond
	calmLimit     = 2 * time.Second
)

// Switched says what a switch has done.
type Switched struct {
	Pause  time.Duration `json:"pause"` // as the coordinator saw it
	Epoch  int64         `json:"epoch"`
	Record string        `json:"record"` // of what was the same on both sides, for the ledger
}

// attempt is one switch.
type attempt struct {
	Move
	source, target *side
	pins           [2]*side // beside them: the snapshots that are compared
	id             uuid.UUID
	revokes        string // the statements that take all rights away on the source
	epoch, seen    int64  // of the source, and of the target, when it began
	began          time.Time
	done           Switched
	best           time.Duration // that a row took to arrive in a rehearsal
}

// Switch makes the target the home. If it fails, or ctx ends, before the target was opened, the
// source is the home again when it returns.
func (m Move) Switch(ctx context.Context) (Switched, error) {
	a, err := m.newAttempt(ctx)
	if err != nil {
		return Switched{}, err
	}
	defer a.close()
	if err := m.step(ctx, "gate", a.gate); err != nil {
		return a.done, err
	}
	err = a.prepare(ctx)
	if err == nil {
		err = a.pause(ctx)
	}
	if err != nil {
		if errors.As(err, new(died)) {
			return a.done, err
		}
		a.close()
		// Whether the target was opened is unknown when its answer was lost. Its row says it.
		outcome, again := m.Recover(context.WithoutCancel(ctx))
		if again != nil {
			return a.done, fmt.Errorf("%w; and it cannot be undone yet: %w", err, again)
		}
		return a.done, fmt.Errorf("%w; %s", err, outcome)
	}
	// What remains is done also after Ctrl-C.
	if err := a.settle(context.WithoutCancel(ctx)); err != nil {
		return a.done, fmt.Errorf("the data has moved to %s, and seam move recover does what is left: %w", a.target.address, err)
	}
	return a.done, nil
}

func (m Move) newAttempt(ctx context.Context) (_ *attempt, err error) {
	a := &attempt{Move: m, id: uuid.New()}
	if a.source, a.target, err = m.openAlone(ctx); err != nil {
		return nil, err
	}
	here, there, err := records(ctx, a.source, a.target)
	if err == nil && (here.state != atHome || there.state != standby || there.epoch >= here.epoch) {
		err = m.first(a.source, a.target, here, there)
	}
	if err == nil {
		a.pins[0], a.pins[1], err = m.open(ctx)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	a.epoch, a.seen = here.epoch, there.epoch
	return a, nil
}

func (a *attempt) all() []*side { return []*side{a.source, a.target, a.pins[0], a.pins[1]} }

func (a *attempt) close() {
	for _, s := range a.all() {
		s.close()
	}
}

// pause is all that is done while the module cannot write.
func (a *attempt) pause(ctx context.Context) error {
	a.began = time.Now()
	for _, steps := range [][]step{
		{{"fence", a.fence}},
		{{"in flight", a.awaitInFlight}},
		{{"drain", a.drainAll}, {"sequences", a.setSequences}},
		{{"intent", a.declare}, {"pin", a.pin}},
		{{"open", a.openTarget}},
	} {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("before %s: %w", steps[0].name, err)
		}
		if err := a.atOnce(ctx, steps...); err != nil {
			return err
		}
	}
	return nil
}

// fence takes the right to write away from everyone.
func (a *attempt) fence(ctx context.Context) (string, error) { return "", a.source.exec(ctx, "COMMIT") }

// inFlight are the sessions that may have checked their rights before the fence: a statement locks
// its table first. One whose kind may not be seen is one of them. The query returns how many there
// are, and how many it has terminated.
const inFlight = `SELECT count(*) || ' ' || count(*) FILTER (WHERE %t AND pg_terminate_backend(pid)) FROM (
	SELECT DISTINCT l.pid FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation JOIN pg_stat_activity AS a ON a.pid = l.pid
	WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND l.granted
		AND c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND c.relname NOT IN ('home', 'migrating')
		AND l.mode IN ('RowShareLock', 'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		AND coalesce(a.backend_type, 'client backend') = 'client backend' AND l.pid <> pg_backend_pid()) AS s`

func (a *attempt) awaitInFlight(ctx context.Context) (note string, err error) {
	for began := time.Now(); ; {
		var open, ended int
		impatient := note == "" && time.Since(began) > patience
		answer, err := a.source.ask(ctx, fmt.Sprintf(inFlight, impatient))
		if err == nil {
			_, err = fmt.Sscan(answer, &open, &ended)
		}
		if err != nil || open == 0 {
			return note, err
		}
		if impatient {
			note = fmt.Sprintf("%d terminated after %v", ended, patience)
		}
		if time.Since(began) > inFlightLimit {
			return "", fmt.Errorf("%d transactions that write did not end within %v", open, inFlightLimit)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (a *attempt) drainAll(ctx context.Context) (string, error) {
	return "", a.drain(ctx, a.source, a.target, drainLimit)
}

// lastValues is a query for the statements that set sequences behind the last value that either
// side has given.
const lastValues = `SELECT coalesce(string_agg(format('SELECT setval(%L, %s(%s, (SELECT last_value FROM %s)))',
		name, CASE WHEN increment_by > 0 THEN 'greatest' ELSE 'least' END, last_value, name), '; '), '')
	FROM (SELECT format('%I.%I', schemaname, sequencename) AS name, increment_by, last_value
		FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL) AS s`

func (a *attempt) setSequences(ctx context.Context) (string, error) {
	statements, err := a.pins[0].ask(ctx, lastValues)
	if err == nil {
		err = a.pins[1].exec(ctx, statements)
	}
	return "", err
}

// pin keeps a snapshot of what both sides have now, to compare it when the pause is over: how long
// it lasts must not depend on how much there is. Nobody may write on either.
func (a *attempt) pin(ctx context.Context) (string, error) {
	return "", onBoth(a.pins, func(_ int, s *side) error {
		given, err := s.ask(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "+writable)
		if err == nil && given != "f" {
			err = fmt.Errorf("somebody has granted a right to write in %s meanwhile", s.address)
		}
		return err
	})
}

// onBoth runs do for two sides at the same time.
func onBoth(sides [2]*side, do func(i int, s *side) error) error {
	var errs [2]error
	var group sync.WaitGroup
	for i, s := range sides {
		group.Go(func() { errs[i] = do(i, s) })
	}
	group.Wait()
	return errors.Join(errs[:]...)
}

// declare ends reads on the source, and the time in which a writer may lift the fence. From here on
// only the target knows who is the home. It revokes what was granted since the fence, too, which
// pin might then not see any more; so it refuses that itself.
func (a *attempt) declare(ctx context.Context) (string, error) {
	return "", lost(a.source.exec(ctx, change("state = 'opening', deadline = NULL",
		"state = 'fencing' AND deadline > clock_timestamp() AND "+owned(a.epoch, a.id)+" AND NOT ("+writable+")", "SELECT "+literal(a.revokes))))
}

// openTarget is the moment at which the data moves.
func (a *attempt) openTarget(ctx context.Context) (string, error) {
	err := a.target.exec(ctx, "COMMIT")
	a.done.Pause, a.done.Epoch = time.Since(a.began), a.epoch+1
	return "pause " + a.done.Pause.Round(100*time.Microsecond).String(), err
}

// settle is what is done after the pause.
func (a *attempt) settle(ctx context.Context) error {
	for _, s := range a.all() {
		if err := s.exec(ctx, "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0"); err != nil {
			return err
		}
	}
	if err := a.stepTo(ctx, "standby", func(ctx context.Context) error { return a.source.retire(ctx) }); err != nil {
		return err
	}
	different := a.step(ctx, "verify", a.verify)
	if different != nil && !errors.As(different, new(*DifferentError)) {
		return different
	}
	return errors.Join(different, a.reverse(ctx, a.target, a.source))
}

// retire makes a side that has been left a standby.
func (s *side) retire(ctx context.Context) error {
	return lost(s.exec(ctx, change("state = 'standby', deadline = NULL", "state = 'opening'", revokes(false))))
}

// lost says what the SQLSTATE of change means.
func lost(err error) error {
	if postgres.HasCode(err, lostCode) {
		return errLost
	}
	return err
}
