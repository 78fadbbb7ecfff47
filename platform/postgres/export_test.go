package postgres

import "time"

// SetLimit shortens the transactions of a group that has no calls yet.
func (g *Group[In, Out]) SetLimit(limit time.Duration) { g.limit = limit }
