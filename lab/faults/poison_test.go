package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"example.com/shop/tools/topology"
)

// deadLetters is the rule of the sixth promise.
const deadLetters = "the dead letters are the poison, and nothing else"

// poison is an event that cannot be handled.
type poison struct {
	publisher, topic, payload string
	dies                      []string // where it becomes a dead letter
}

// poisons returns all kinds of bad events that an outbox can hold. The last two are only unusual:
// one has no subscriber, and the other is as large as the broker accepts.
func poisons() []poison {
	return []poison{
		{"orders", "orders.cancelled.v1", `{"order_id": "no uuid", "reason": "poison"}`, []string{"inventory", "payments", "notifications"}},
		{"inventory", "inventory.reserved.v1", `"no object"`, []string{"orders"}},
		{"orders", "orders.placed.v999", `{"order_id": 1}`, nil},
		{"inventory", "inventory.rejected.v1", fmt.Sprintf(`{"order_id": %q, "padding": %q}`, uuid.New(), strings.Repeat("x", 1<<20-8<<10)), nil},
	}
}

// poisonEvents publishes poison among the orders' events. It becomes dead letters, delays nothing
// else, and may be redriven.
func poisonEvents(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	all := poisons()
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	dead := map[string][]string{}
	for i, moment := range moments(r, len(all)) {
		progress(moment)
		id := uuid.Must(uuid.NewV7()).String()
		s.publish(t, id, "poison", all[i])
		for _, m := range all[i].dies {
			dead[m] = append(dead[m], id)
		}
	}
	if s.Broker != nil {
		dead["orders"] = append(dead["orders"], s.publishToBroker(t, "payments.captured.v1", "{no JSON"))
	}
	s.awaitDead(t, dead)
	s.seam(t, "events", "redrive", "--all")
	time.Sleep(time.Second) // for new attempts
	s.awaitDead(t, dead)
	s.bury(t, dead)
}

// fixHandler has a handler fail for one event, which is a dead letter until the bug is fixed and
// an operator redrives it.
func fixHandler(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	progress(moments(r, 1)[0])
	id := uuid.Must(uuid.NewV7()).String()
	fix := s.trigger(t, atCommit, "orders.inbox", "IF NEW.event_id = '"+id+"' THEN RAISE 'a bug'; END IF; RETURN NULL;")
	s.publish(t, id, "poison", poison{publisher: "payments", topic: "payments.declined.v1",
		payload: fmt.Sprintf(`{"order_id": %q}`, uuid.New())})
	s.awaitDead(t, map[string][]string{"orders": {id}})
	fix()
	s.seam(t, "events", "redrive", "--all")
	s.awaitDead(t, nil)
}

func (s *shop) publish(t *testing.T, id, key string, p poison) {
	t.Helper()
	s.exec(t, fmt.Sprintf(`
		WITH made AS (INSERT INTO %[1]s.outbox (id, topic, key, payload, headers) VALUES ($1, $2, $3, $4, '{}') RETURNING id, topic)
		INSERT INTO %[1]s.outbox_pending (event_id, topic) SELECT id, topic FROM made`, p.publisher), id, p.topic, key, p.payload)
}

// publishToBroker publishes what no outbox could hold, as a faulty external service might.
func (s *shop) publishToBroker(t *testing.T, topic, payload string) (id string) {
	t.Helper()
	publisher, _, _ := strings.Cut(topic, ".")
	id = uuid.Must(uuid.NewV7()).String()
	m := nats.NewMsg("events." + topic)
	m.Header.Set("ce-id", id)
	m.Data = []byte(payload)
	if _, err := s.jetStream(t, publisher).PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return id
}

// awaitDead waits until these events, and no others, are dead letters of their modules, each with
// all its attempts and a reason, and nothing else has failed.
func (s *shop) awaitDead(t *testing.T, want map[string][]string) {
	t.Helper()
	var wrong string
	for deadline := time.Now().Add(s.quiet); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		wrong = ""
		for _, m := range topology.Modules {
			var ids []string
			var reasonable bool
			err := s.admin.QueryRow(t.Context(), `SELECT coalesce(array_agg(event_id::text), '{}'),
				coalesce(bool_and(dead_at IS NOT NULL AND attempts = 5 AND reason <> ''), true) FROM `+m+`.failed`).Scan(&ids, &reasonable)
			slices.Sort(ids)
			slices.Sort(want[m])
			if err != nil || !reasonable || !slices.Equal(ids, want[m]) && len(ids)+len(want[m]) > 0 {
				wrong += fmt.Sprintf(" %s has %v, want %v (%v);", m, ids, want[m], err)
			}
		}
		if wrong == "" {
			return
		}
	}
	s.finds(deadLetters, "%s", wrong)
}

// bury marks the dead letters as handled, as an operator might.
func (s *shop) bury(t *testing.T, dead map[string][]string) {
	t.Helper()
	for m, ids := range dead {
		s.exec(t, `WITH buried AS (DELETE FROM `+m+`.failed WHERE event_id::text = ANY ($1) RETURNING event_id, topic)
			INSERT INTO `+m+`.inbox (event_id, topic) SELECT event_id, topic FROM buried`, ids)
	}
}
