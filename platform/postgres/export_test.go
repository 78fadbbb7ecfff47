package postgres

import "time"

// SetLimit sets the time limit of transactions. Call it before Do.
func (g *Group[In, Out]) SetLimit(limit time.Duration) { g.limit = limit }
