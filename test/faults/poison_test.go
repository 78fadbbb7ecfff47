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
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/topology"
)

// deadLetters is the rule of the sixth promise.
const deadLetters = "the dead letters are the poison, and nothing else"

// poison is an event that somebody cannot digest.
type poison struct {
	teller, topic, payload string
	dies                   []string // where it becomes a dead letter
}

// poisons are bad in every way that an outbox can hold. The last two are only strange: nobody listens to the one, and the other is as large
// as a broker takes it.
func poisons() []poison {
	return []poison{
		{"orders", "orders.cancelled.v1", `{"order_id": "no uuid", "reason": "poison"}`, []string{"inventory", "payments", "notifications"}},
		{"inventory", "inventory.reserved.v1", `"no object"`, []string{"orders"}},
		{"orders", "orders.placed.v999", `{"order_id": 1}`, nil},
		{"inventory", "inventory.rejected.v1", fmt.Sprintf(`{"order_id": %q, "padding": %q}`, uuid.New(), strings.Repeat("x", 1<<20-8<<10)), nil},
	}
}

// Poison is told among the orders. It ends as dead letters, everything else goes on meanwhile, and to redrive it does no harm.
func poisonEvents(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	all := poisons()
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	dead := map[string][]string{}
	for i, moment := range moments(r, len(all)) {
		progress(moment)
		id := uuid.Must(uuid.NewV7()).String()
		s.tell(t, id, all[i])
		for _, m := range all[i].dies {
			dead[m] = append(dead[m], id)
		}
	}
	if s.Broker != nil {
		dead["orders"] = append(dead["orders"], s.tellTheBroker(t, "payments.captured.v1", "{no JSON"))
	}
	s.awaitDead(t, dead)
	s.seam(t, "events", "redrive", "--all")
	time.Sleep(time.Second) // some attempts, or the dead of before would do
	s.awaitDead(t, dead)
	s.bury(t, dead)
}

// A handler has a bug, which fails what it does with one event. The event is a dead letter until
// the bug is mended; then an operator redrives it.
func mendHandler(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	progress(moments(r, 1)[0])
	id := uuid.Must(uuid.NewV7()).String()
	mend := s.trigger(t, atCommit, "orders.inbox", "IF NEW.event_id = '"+id+"' THEN RAISE 'a bug'; END IF; RETURN NULL;")
	s.tell(t, id, poison{teller: "payments", topic: "payments.declined.v1", payload: fmt.Sprintf(`{"order_id": %q}`, uuid.New())})
	s.awaitDead(t, map[string][]string{"orders": {id}})
	mend()
	s.seam(t, "events", "redrive", "--all")
	s.awaitDead(t, nil)
}

func (s *shop) tell(t *testing.T, id string, p poison) {
	t.Helper()
	s.exec(t, "INSERT INTO "+p.teller+".outbox (id, topic, key, payload, headers) VALUES ($1, $2, 'poison', $3, '{}')", id, p.topic, p.payload)
}

// tellTheBroker publishes what no outbox could hold, as a mistaken neighbour might.
func (s *shop) tellTheBroker(t *testing.T, topic, payload string) (id string) {
	t.Helper()
	conn, err := nats.Connect(s.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	id = uuid.Must(uuid.NewV7()).String()
	m := nats.NewMsg("events." + topic)
	m.Header.Set(jetstream.MsgIDHeader, topic+"/0/"+id)
	m.Data = []byte(payload)
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return id
}

// awaitDead waits until these events, and no others, are dead letters of their modules, each with all its attempts and a reason, and nothing
// else has failed. It gives up when that is not so for long.
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

// bury does with the poison what an operator does who has read it: it counts as handled.
func (s *shop) bury(t *testing.T, dead map[string][]string) {
	t.Helper()
	for m, ids := range dead {
		s.exec(t, `WITH buried AS (DELETE FROM `+m+`.failed WHERE event_id::text = ANY ($1) RETURNING event_id, topic)
			INSERT INTO `+m+`.inbox (event_id, topic) SELECT event_id, topic FROM buried`, ids)
	}
}
