package jobs

// Free returns how many places of the queue are free.
func Free[A, R any](q *Queue[A, R]) int { return len(q.places) }
