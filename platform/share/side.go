package share

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/worker"
)

// every is how often a side says that it is alive: a tenth of the time after which it is silent.
const every = time.Second

// Side is one process's part in the work of a module. That of a nil Side has no name.
type Side struct {
	name   string
	pool   *pgxpool.Pool
	shared atomic.Bool // weights are set, and this side's is less than 100
	idle   atomic.Bool // and it is 0

	requests, events, jobs atomic.Int64 // handled since the last beat
}

// Join returns the side of this name after its first beat, or a usage error if it must not serve
// the pool's module.
func Join(ctx context.Context, pool *pgxpool.Pool, module, name string) (*Side, error) {
	states, err := Read(ctx, pool)
	if err == nil {
		err = admit(states, module, name)
	}
	if err != nil {
		return nil, err
	}
	s := &Side{name: name, pool: pool}
	_, err = s.beat(ctx)
	return s, err
}

// Name is what transactions pass to share_of.
func (s *Side) Name() string {
	if s == nil {
		return ""
	}
	return s.name
}

// Shared reports whether another side has a part in the work, as of the last beat.
func (s *Side) Shared() bool { return s != nil && s.shared.Load() }

// Idle reports whether weights are set and this side's is 0, as of the last beat.
func (s *Side) Idle() bool { return s != nil && s.idle.Load() }

// Requested counts a request that this side has handled.
func (s *Side) Requested() {
	if s != nil {
		s.requests.Add(1)
	}
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
func (s *Side) Run(ctx context.Context, log *slog.Logger) error {
	return worker.New("beat", every, s.beat, log).Run(ctx)
}

// Leave makes the side silent at once, so that the others take over, and not in ten seconds.
func (s *Side) Leave(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), every)
	defer cancel()
	_, err := s.pool.Exec(ctx, "UPDATE sides SET beat_at = NULL WHERE side = $1", s.name)
	return err
}

// beat says that the side is alive and what it has handled, and reads its weight.
func (s *Side) beat(ctx context.Context) (more bool, err error) {
	ctx, cancel := worker.UntilStop(ctx)
	defer cancel()
	requests, events, jobs := s.requests.Load(), s.events.Load(), s.jobs.Load()
	var weight *int
	var set bool
	err = s.pool.QueryRow(ctx, `-- name: Beat
		INSERT INTO sides (side, beat_at, requests, events, jobs)
		SELECT $1::text, now(), $2::bigint, $3::bigint, $4::bigint FROM set_config('synchronous_commit', 'off', true) -- the next beat is soon
		ON CONFLICT (side) DO UPDATE SET beat_at = now(), requests = sides.requests + excluded.requests,
			events = sides.events + excluded.events, jobs = sides.jobs + excluded.jobs
		RETURNING weight, EXISTS (SELECT FROM sides AS s WHERE s.weight IS NOT NULL)`,
		s.name, requests, events, jobs).Scan(&weight, &set)
	if err != nil {
		return false, fmt.Errorf("beat: %w", err)
	}
	s.requests.Add(-requests)
	s.events.Add(-events)
	s.jobs.Add(-jobs)
	s.shared.Store(set && (weight == nil || *weight < 100))
	s.idle.Store(set && (weight == nil || *weight == 0))
	return false, nil
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
