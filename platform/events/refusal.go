package events

import (
	"context"
	"math/rand/v2"
	"time"
)

// A topic that the bus refuses is left out of the relay's scans, for a pause that doubles from minRefusal to maxRefusal. Its rows
// would otherwise fill the batches, because they are the oldest, and nothing that the bus does take would ever be looked at.
const (
	minRefusal = 50 * time.Millisecond
	maxRefusal = 2 * time.Second // what has waited for the bus waits this long more, and up to half as long again, once it is back
)

// refusal is a topic's backoff. It is forgotten when the bus takes the topic again.
type refusal struct {
	pause time.Duration
	until time.Time
}

// refuse leaves the topic out until its pause, ±50 %, has passed, and has the relay look for it then.
func (o *Outbox) refuse(ctx context.Context, topic string, cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.refused[topic].until) {
		return // the other relay was told so at the same time
	}
	pause := min(max(2*o.refused[topic].pause, minRefusal), maxRefusal)
	wait := pause/2 + rand.N(pause)
	o.refused[topic] = refusal{pause: pause, until: time.Now().Add(wait)}
	time.AfterFunc(wait, o.Wake)
	o.log.ErrorContext(ctx, "the bus refused a topic", "topic", topic, "error", cause, "again_in", wait.String())
}

// accept forgets that the topic was refused.
func (o *Outbox) accept(topic string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.refused, topic)
}

// leftOut is never nil: to PostgreSQL, nothing differs from every element of NULL.
func (o *Outbox) leftOut() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	topics := []string{}
	for topic, r := range o.refused {
		if time.Now().Before(r.until) {
			topics = append(topics, topic)
		}
	}
	return topics
}
