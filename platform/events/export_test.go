package events

import "time"

// SetTxLimit shortens the transactions of a consumer that does not run yet.
func (c *Consumer) SetTxLimit(limit time.Duration) { c.conn.limit = limit }

// Waiting is how many messages have arrived and are in no batch yet.
func (c *Consumer) Waiting() int { return len(c.incoming) }

// InHand is how many events are queued, being published, or not marked yet.
func (o *Outbox) InHand() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.inHand)
}

// Running says that what is committed from now on is published from memory.
func (o *Outbox) Running() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.running
}
