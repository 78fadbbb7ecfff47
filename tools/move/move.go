// Package move carries a module's schema to another database while processes write to it, and back.
// It promises that at any moment at most one of the two databases can be written, that nothing that
// was committed is lost, whenever and wherever the coordinator dies, and that the way back is open
// before the first write on the new side.
//
//	seed    copy everything, and keep the copy up to date by logical replication: no pause
//	gate    the copy is complete and follows closely
//	slot    the target keeps what will be written on it for the source, the way back
//	fence   the runtime role loses its rights on the source; writers wait        ┐
//	…       those in flight end, the rest arrives, sequences, the source is closed  │ the pause
//	open    one commit on the target: its role has the rights, its row says home ┘
//	after   compare the two, and reverse the replication
//
// What is true is in the row of the table home in each database; see
// platform/postgres/schema/0008_home.sql. Recover decides from the two rows alone.
package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Move is a module, the database that its data is in and the one that it goes to.
type Move struct {
	Module string
	// Source and Target are URLs of admin connections. Each server must reach the other one under the
	// address that is here.
	Source, Target string
	// Roles has the prefix of the module's roles, and the secret of their passwords. It matters only
	// if both databases are on one server, or without a superuser, who alone can read those that they
	// have on the source; otherwise the target gets these.
	Roles postgres.Plan
	// Migrate makes the module's tables in an empty schema, as the module's own migrate verb does.
	Migrate func(ctx context.Context, url string) error
	// Report gets each step when it has ended, and the progress of long ones. It may be nil.
	Report func(Step)
	// After runs after each step. When it fails the move ends there, as if the coordinator had died:
	// nothing is undone. It may be nil; it is for tests.
	After func(step string) error

	leave string // a step that is left out, by a test that must notice it
}

// Step is what a move has done.
type Step struct {
	Name string
	Took time.Duration
	Note string // may be empty
}

// Back is the same move in the other direction.
func (m Move) Back() Move {
	m.Source, m.Target = m.Target, m.Source
	return m
}

const (
	atHome  = "home"    // the module's data is here
	fencing = "fencing" // it cannot be written, until the deadline
	opening = "opening" // nor read; the other database may be the home by now
	standby = "standby" // it is in the other database
)

var (
	errBusy = process.Usage(errors.New("a migration, or another move, of this module is under way: wait for it, " +
		"or end that move by seam move recover"))
	errLost = errors.New("another attempt, or a writer after the deadline, has ended this one")
)

// died is an error of Move.After.
type died struct{ error }

func (d died) Unwrap() error { return d.error }

// step is one of a move, whose note may be empty.
type step struct {
	name string
	do   func(context.Context) (note string, err error)
}

func (m Move) step(ctx context.Context, name string, do func(context.Context) (note string, err error)) error {
	return m.atOnce(ctx, step{name, do})
}

// atOnce runs steps of which none needs another, and reports them when all have ended.
func (m Move) atOnce(ctx context.Context, steps ...step) error {
	type result struct {
		took time.Duration
		note string
		err  error
	}
	steps = slices.DeleteFunc(steps, func(s step) bool { return s.name == m.leave })
	results := make([]result, len(steps))
	var group sync.WaitGroup
	for i, s := range steps {
		group.Go(func() {
			began := time.Now()
			note, err := s.do(ctx)
			results[i] = result{time.Since(began), note, err}
		})
	}
	group.Wait()
	var failed error
	for i, r := range results {
		switch err := fmt.Errorf("%s: %w", steps[i].name, r.err); {
		case r.err != nil && failed != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		case r.err != nil:
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	for i, r := range results {
		m.report(steps[i].name, r.took, r.note)
		if m.After != nil {
			if err := m.After(steps[i].name); err != nil {
				return died{err}
			}
		}
	}
	return nil
}

func (m Move) report(name string, took time.Duration, note string) {
	if m.Report != nil {
		m.Report(Step{Name: name, Took: took, Note: note})
	}
}

func (m Move) runtime() string { return m.Roles.Prefix + m.Module + "_rt" }
func (m Move) migrate() string { return m.Roles.Prefix + m.Module + "_migrate" }
func (m Move) owner() string   { return m.Roles.Prefix + m.Module + "_owner" }

// open connects to both databases.
func (m Move) open(ctx context.Context) (source, target *side, err error) {
	if source, err = m.connect(ctx, m.Source); err != nil {
		return nil, nil, m.notThere(m.Source, err)
	}
	if target, err = m.connect(ctx, m.Target); err != nil {
		source.close()
		return nil, nil, m.notThere(m.Target, err)
	}
	return source, target, nil
}

// notThere says what to do about a side that cannot be connected to. The call is wrong if the
// server answers.
func (m Move) notThere(address string, err error) error {
	const which = "DATABASE_URL is where the data was first, and --to the other"
	switch {
	case postgres.HasCode(err, noDatabase):
		return process.Usage(fmt.Errorf("%s does not exist: %s, which seam move seed %s makes; finish --gone ends a move whose other side is lost",
			withoutLogin(address), which, m.Module))
	case !errors.As(err, new(*pgconn.ConnectError)):
		return err
	case answered(err):
		return process.Usage(fmt.Errorf("%s refuses this connection (%s): %w", withoutLogin(address), which, err))
	}
	return fmt.Errorf("%s does not answer (%s): %w", withoutLogin(address), which, err)
}

// noDatabase is the SQLSTATE invalid_catalog_name.
const noDatabase = "3D000"

// openAlone is open for one who changes something: no migration runs meanwhile, and no other move.
func (m Move) openAlone(ctx context.Context) (source, target *side, err error) {
	if source, target, err = m.open(ctx); err != nil {
		return nil, nil, err
	}
	if target.is(source) { // whose lock would wait for itself
		err = process.Usage(fmt.Errorf("%s is where the data is: name another database", target.address))
	}
	if err == nil {
		err = source.lock(ctx, m)
	}
	if err == nil {
		err = target.lock(ctx, m)
	}
	if err != nil {
		source.close()
		target.close()
		return nil, nil, err
	}
	return source, target, nil
}

// record is the row that a database has of the module's home.
type record struct {
	state     string // "" without a row
	epoch     int64
	move      uuid.UUID
	elsewhere string
	expired   bool // the deadline of its fence is over
}

func (r record) String() string {
	if r.state == "" {
		return "has no record"
	}
	return fmt.Sprintf("says %s, epoch %d", r.state, r.epoch)
}

// first says why neither a switch nor an end can begin, and what comes first.
func (m Move) first(source, target *side, here, there record) error {
	begun := func(r record) bool { return r.state == fencing || r.state == opening }
	says, do := fmt.Sprintf("%s %s, and %s %s", source.address, here, target.address, there), "status"
	switch {
	case begun(here) || begun(there):
		says, do = "a switch is under way, or its coordinator died", "recover"
	case here.state == standby && there.state == atHome:
		says, do = m.Module+" is at home in "+target.address+" already", "status"
	case here.state == "" && there.state == "":
		says, do = m.Module+" does not move between "+source.address+" and "+target.address, "seed"
	case here.state == atHome && there.state == "":
		says, do = target.address+" has no copy of "+m.Module, "seed"
	}
	return process.Usage(fmt.Errorf("%s: seam move %s %s --to ADMIN-URL comes first", says, do, m.Module))
}
