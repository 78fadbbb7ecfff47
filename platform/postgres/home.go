package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/process"
)

// A module's data can move to another database while processes write to it. They are refused for
// some milliseconds: the role has lost its rights, in the database itself, so that no connection
// can be overlooked. What was refused has had no effect. It waits until one of the two databases
// says that it is the home (the table home), and is then run again, there.
//
//	write ──▶ refused (42501) ──▶ wait: ask both, every two milliseconds ──▶ again, at home
//	                               └── a fence whose deadline is over is lifted: who raised it is dead
//
// Statements and transactions of a DB do this by themselves. So the function that is passed to InTx
// may run more than once, and must not leave anything behind that a second run would double.

const (
	// refused is the SQLSTATE insufficient_privilege.
	refused = "42501"
	// waitLimit bounds how long a refused statement waits for a home: longer than a fence lasts
	// that nobody lifts, and shorter than a request may take.
	waitLimit = 5 * time.Second
	askEvery  = 2 * time.Millisecond // while statements wait
	// lookEvery is how often a database is asked when nothing waits: to know the other in time, and
	// to leave one that does not answer any more.
	lookEvery = time.Second
)

// ErrMoving means that the data was at home in neither database for five seconds.
var ErrMoving = errors.New("the module's data is between two databases: seam move status says why")

// ErrMoved means that a connection leads to a database that is not the home any more.
var ErrMoved = errors.New("the module's data has moved")

// place is one of the databases that may be the home.
type place struct {
	address string // as the other one names it; "" for the process's own URL
	pool    *pgxpool.Pool
}

// record is what a database says of itself.
type record struct {
	state     string
	epoch     int64
	elsewhere string
	expired   bool // the deadline of its fence is over
}

// neverMoved is the record of a database without one.
var neverMoved = record{state: atHome}

// atHome is the state of the home.
const atHome = "home"

// here is the home, as far as this process knows.
type here struct {
	*place
	epoch int64
}

// ask reads the record of the place, and lifts a fence that has expired.
func (p *place) ask(ctx context.Context) (r record, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err = p.pool.QueryRow(ctx, `-- name: AskHome
		SELECT state, epoch, elsewhere, state = 'fencing' AND deadline < clock_timestamp() FROM home`).
		Scan(&r.state, &r.epoch, &r.elsewhere, &r.expired)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return neverMoved, nil
	case err == nil && r.expired:
		_, err = p.pool.Exec(ctx, "SELECT lift_fence()")
	}
	return r, err
}

// again reports whether a statement that failed at the place may succeed when it is run again: it
// was refused because the data moves, and now there is a home. Otherwise it returns the error to
// return.
func (db *DB) again(ctx context.Context, at *here, err error) (bool, error) {
	if !HasCode(err, refused) {
		return false, err
	}
	found := db.find(at)
	select {
	case <-found.done:
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", ErrMoving, ctx.Err())
	}
	switch {
	case db.home.Load() != at:
		return true, nil
	case found.err != nil:
		return false, fmt.Errorf("%w: %w", found.err, err)
	}
	return false, err // the role has no right to do this at home either
}

// search is one wait for the home, of all statements that were refused meanwhile.
type search struct {
	done chan struct{}
	err  error
}

// find begins to look for the home, unless it is known that it is not at anymore, or somebody is
// looking already.
func (db *DB) find(at *here) *search {
	db.finding.Lock()
	defer db.finding.Unlock()
	if db.home.Load() != at {
		found := &search{done: make(chan struct{})}
		close(found.done)
		return found
	}
	if db.search == nil {
		s := &search{done: make(chan struct{})}
		db.search = s
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
			defer cancel()
			s.err = db.seek(ctx, at)
			db.finding.Lock()
			defer db.finding.Unlock()
			db.search = nil
			close(s.done)
		}()
	}
	return db.search
}

// seek asks both places until one of them is the home. When that is the known one and nothing has
// changed, what was refused there is forbidden.
func (db *DB) seek(ctx context.Context, at *here) error {
	for {
		if db.look(ctx, at, at.place) == nil || db.look(ctx, at, db.other.Load()) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ErrMoving
		case <-time.After(askEvery):
		}
	}
}

var errNotHome = errors.New("it is not the home")

// look asks a place, returns nil if it is the home, and remembers that. It opens the other database
// that the place names.
func (db *DB) look(ctx context.Context, at *here, p *place) error {
	if p == nil {
		return errNotHome
	}
	r, err := p.ask(ctx)
	if HasCode(err, undefinedTable) && db.other.Load() == nil { // or the table went after a move
		r = neverMoved
	} else if err != nil {
		return err
	}
	if p == at.place && db.url != "" { // without one it follows to nowhere
		db.note(db.openOther(ctx, r.elsewhere))
	}
	if r == neverMoved && p == at.place {
		if at.epoch != 0 { // the move is finished, and the next one counts anew
			db.moveTo(at, &here{p, 0})
			if left := db.other.Swap(nil); left != nil {
				go left.pool.Close() //nolint:gosec // when what uses it has ended, which is after the context
			}
		}
		return nil
	}
	if r.state != atHome || r.epoch < at.epoch {
		return errNotHome
	}
	if p != at.place || r.epoch != at.epoch {
		db.moveTo(at, &here{p, r.epoch})
	}
	return nil
}

// moveTo makes the place the home; the one before becomes the other.
func (db *DB) moveTo(at, to *here) {
	if !db.home.CompareAndSwap(at, to) || at.place == to.place {
		return
	}
	db.other.Store(at.place)
	cfg := to.pool.Config().ConnConfig
	slog.Info("the module's data has moved", "module", db.Module, "host", cfg.Host, "port", cfg.Port, "database", cfg.Database)
}

// openOther opens the pool of the other database, if there is one, so that nothing has to connect
// when the data has moved. If that fails, it is tried again.
func (db *DB) openOther(ctx context.Context, elsewhere string) error {
	db.opening.Lock()
	defer db.opening.Unlock()
	before := db.other.Load()
	if elsewhere == "" || before != nil && before.address == elsewhere {
		return nil
	}
	address, err := atElsewhere(db.url, elsewhere)
	if err != nil {
		return err
	}
	pool, err := openPool(ctx, db.Module, db.Module, address, db.Pool().Config().MaxConns)
	if err != nil {
		return err
	}
	db.other.Store(&place{address: elsewhere, pool: pool})
	if before != nil {
		go before.pool.Close() //nolint:gosec // when what uses it has ended, which is after the context
	}
	return nil
}

// note remembers whether the other database can be opened, and logs it when that changes.
func (db *DB) note(err error) {
	if db.apart.Swap(err != nil) == (err != nil) {
		return
	}
	if err != nil {
		slog.Warn("the module's data may move to a database that this process cannot open", "module", db.Module, "error", err)
	} else {
		slog.Info("each database that the module's data may be in can be opened", "module", db.Module)
	}
}

// Reaches returns a process.Note while this process cannot open the database that the data may move
// to; nil otherwise.
func (db *DB) Reaches() error {
	if db.apart.Load() {
		return process.Note("its data may move to a database that this process cannot open: its log says why")
	}
	return nil
}

// Follow looks where the home is, until ctx ends. It knows the other database before the data moves
// there, and leaves one that the data has moved away from while nothing was refused.
func (db *DB) Follow(ctx context.Context) error {
	for {
		at := db.home.Load()
		if db.look(ctx, at, at.place) != nil {
			_ = db.look(ctx, at, db.other.Load()) // or neither is, and what is refused waits
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// atElsewhere returns the address with the host, the port and the database of the other one, and
// all else of its own: the login and TLS.
func atElsewhere(own, elsewhere string) (string, error) {
	cfg, err := parse(own)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(elsewhere)
	if err != nil || !strings.Contains(own, "://") {
		return "", process.Usage(cmp.Or(err, errSyntax))
	}
	parameters := u.Query()
	_, query, _ := strings.Cut(own, "?")
	for parameter := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(parameter, "=")
		switch key, _ = url.PathUnescape(strings.Trim(key, " ")); key {
		case "", "host", "port", "dbname", "user", "password":
		default:
			if value, err = url.PathUnescape(value); err != nil {
				return "", process.Usage(errSyntax)
			}
			parameters.Set(key, value)
		}
	}
	u.User, u.RawQuery = url.UserPassword(cfg.User, cfg.Password), parameters.Encode()
	return u.String(), nil
}
