package events

import (
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// queue holds a topic's events that wait to be published. Each topic has its own, so that a slow
// handler holds up only its own topic.
type queue struct {
	waiting    []*message.Message
	publishers int       // goroutines that run publish
	short      bool      // the poll has skipped the topic, because there was no room
	refused    int       // how often in a row the bus has refused the topic
	until      time.Time // nothing is queued before
}

// publishers bounds how many batches of a topic are published concurrently. The memory bus takes as
// long as the topic's slowest subscriber, which may linger; meanwhile the others get the next
// events. So events of one topic may overtake each other.
const publishers = 32

// room returns how many events the queue takes now. What finds none is left to the poll, so that a
// commit never waits for the bus.
func (o *Outbox) room(q *queue) int {
	if time.Now().Before(q.until) {
		return 0
	}
	return queued*o.cfg.RelayBatch - len(q.waiting)
}

// queued bounds each topic's queue, as a multiple of RelayBatch.
const queued = 10
