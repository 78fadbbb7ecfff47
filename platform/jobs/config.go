package jobs

import "time"

// Config holds the concurrency and times of a queue. The clocks of a module's processes must agree
// within the lease, which one writes and another reads.
type Config struct {
	Concurrency  int           // jobs under way in this process
	Lease        time.Duration // of a claim: how long a crash delays a job
	BackoffFirst time.Duration // the pause after a first failure, which doubles with each
	BackoffMost  time.Duration
	Poll         time.Duration // how often the table is polled for due jobs
}

// Dead marks err as permanent: the job is not retried until it is redriven.
func Dead(err error) error { return deadError{err} }

type deadError struct{ error }

func (e deadError) Unwrap() error { return e.error }
