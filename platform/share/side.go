package share

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/worker"
)

// every is how often a side says that it is alive: a tenth of the time after which it is silent.
const every = time.Second

// Side is one process's part in the work of a module. That of a nil Side has no name.
type Side struct {
	name   string
	db     database
	shared atomic.Bool  // another side has a weight, or this one's is less than 100
	idle   atomic.Bool  // and it is 0
	weight atomic.Value // a string, "" for none
	beaten atomic.Int64 // when the last beat was, in Unix nanoseconds

	requests, events, jobs atomic.Int64 // handled since the last beat

	mu    sync.Mutex
	knows []string // topics and kinds of jobs
}

// Ask sends one statement with text parameters on a connection that requests do not use, and
// returns its first row.
type Ask func(ctx context.Context, sql string, args ...string) (row []string, err error)

// database is that of a module, which may be another one after the data has moved.
type database interface {
	InTx(ctx context.Context, f func(tx pgx.Tx) error) error
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Join returns the side of this name after its first beat, or no side and a usage error if it must
// not serve the database's module.
func Join(ctx context.Context, db database, module, name string) (*Side, error) {
	s := &Side{name: name, db: db}
	s.weight.Store("")
	err := db.InTx(ctx, func(tx pgx.Tx) error {
		// Two sides that start at once are admitted one after the other.
		if _, err := tx.Exec(ctx, "LOCK TABLE sides IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		states, err := Read(ctx, tx)
		if err == nil {
			err = admit(states, module, name)
		}
		if err != nil {
			return err
		}
		return s.beat(ctx, func(ctx context.Context, sql string, args ...string) ([]string, error) {
			var weight, sides string
			err := tx.QueryRow(ctx, sql, args[0], args[1], args[2], args[3], args[4]).Scan(&weight, &sides)
			return []string{weight, sides}, err
		})
	})
	if err != nil {
		return nil, err // if only the answer to the commit was lost, the row looks alive for a while
	}
	return s, nil
}

// Knows records a topic or a kind of jobs that this process handles, before Announce.
func (s *Side) Knows(name string) {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.knows = append(s.knows, name)
	}
}

// Announce writes what the side knows: what it does not is handled by the others.
func (s *Side) Announce(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.db.Exec(ctx, "UPDATE sides SET knows = $2 WHERE side = $1", s.name, s.knows); err != nil {
		return fmt.Errorf("announce what this side handles: %w", err)
	}
	return nil
}

// Name is what transactions pass to share_of.
func (s *Side) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// Shared reports whether another side may have a part in the work, as of the last beat; after two
// missed ones it may.
func (s *Side) Shared() bool {
	return s != nil && (s.shared.Load() || time.Since(time.Unix(0, s.beaten.Load())) > 2*every)
}

// Idle reports whether weights are set and this side's is 0, as of the last beat.
func (s *Side) Idle() bool { return s != nil && s.idle.Load() }

// Requested counts a request that this side has handled.
func (s *Side) Requested() {
	s.requests.Add(1)
}

// Handled counts events that this side has handled.
func (s *Side) Handled(events int) {
	if s != nil {
		s.events.Add(int64(events))
	}
}

// Done counts jobs that this side has done.
func (s *Side) Done(jobs int) {
	if s != nil {
		s.jobs.Add(int64(jobs))
	}
}

// Run beats every second until ctx ends.
func (s *Side) Run(ctx context.Context, ask Ask, log *slog.Logger) error {
	return worker.New("beat", every, func(ctx context.Context) (more bool, err error) {
		ctx, cancel := worker.UntilStop(ctx)
		defer cancel()
		return false, s.beat(ctx, ask)
	}, log).Run(ctx)
}

// Leave makes the side silent in two seconds, unless another process of it beats.
func (s *Side) Leave(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), every)
	defer cancel()
	_, err := s.db.Exec(ctx, "UPDATE sides SET beat_at = now() - interval '8 seconds' WHERE side = $1", s.name)
	return err
}

// beat says that the side is alive and what it has handled, and reads its weight. What it has
// handled under another weight is not counted.
func (s *Side) beat(ctx context.Context, ask Ask) error {
	requests, events, jobs := s.requests.Load(), s.events.Load(), s.jobs.Load()
	known, _ := s.weight.Load().(string)
	row, err := ask(ctx, `-- name: Beat
		INSERT INTO sides AS s (side, beat_at, requests, events, jobs)
		SELECT $1, now(), $2::text::bigint, $3::text::bigint, $4::text::bigint
		FROM set_config('synchronous_commit', 'off', true) -- the next beat is soon
		ON CONFLICT (side) DO UPDATE SET beat_at = now(), (requests, events, jobs) = (
			SELECT s.requests + same * excluded.requests, s.events + same * excluded.events, s.jobs + same * excluded.jobs
			FROM CAST(s.weight IS NOT DISTINCT FROM nullif($5::text, '')::integer AS integer) AS same)
		RETURNING coalesce(weight::text, ''), (SELECT count(*) FROM sides AS o WHERE o.weight IS NOT NULL)::text`,
		s.name, fmt.Sprint(requests), fmt.Sprint(events), fmt.Sprint(jobs), known)
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	s.requests.Add(-requests)
	s.events.Add(-events)
	s.jobs.Add(-jobs)
	weight, sides := row[0], row[1]
	s.weight.Store(weight)
	s.shared.Store(sides != "0" && (sides != "1" || weight != "100"))
	s.idle.Store(sides != "0" && (weight == "" || weight == "0"))
	s.beaten.Store(time.Now().UnixNano())
	return nil
}

// While returns a loop that runs only while the side is not idle. It ends with ctx.
func (s *Side) While(loop func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			if !s.Idle() {
				if err := s.untilIdle(ctx, loop); err != nil {
					return err
				}
			}
			s.wait(ctx)
		}
		return nil
	}
}

// untilIdle runs the loop until the side is idle, or until ctx ends.
func (s *Side) untilIdle(ctx context.Context, loop func(ctx context.Context) error) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for running.Err() == nil && !s.Idle() {
			s.wait(running)
		}
		stop()
	}()
	return loop(running)
}

// wait returns after a part of a beat, or when ctx ends.
func (s *Side) wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(every / 4):
	}
}
