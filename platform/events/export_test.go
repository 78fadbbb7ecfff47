package events

import "time"

// Publishers is publishers.
const Publishers = publishers

// SetTxLimit sets the time limit of transactions. Call it before Run.
func (c *Consumer) SetTxLimit(limit time.Duration) { c.conn.limit = limit }

// Waiting returns how many messages have arrived and are in no batch yet.
func (c *Consumer) Waiting() int { return len(c.incoming) }

// InHand returns how many events are queued, being published, or not marked yet.
func (o *Outbox) InHand() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.inHand)
}

// Running reports whether commits are published from memory.
func (o *Outbox) Running() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.running
}

// ByTopic is byTopic.
var ByTopic = byTopic
