package events

import "time"

// SetTxLimit shortens the transactions of a consumer that does not run yet.
func (c *Consumer) SetTxLimit(limit time.Duration) { c.conn.limit = limit }
