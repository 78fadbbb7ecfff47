package events_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/eventtest"
)

// The SQL of v0.1.0 on the outbox, verbatim: for one release its processes may run beside today's.
const (
	publishOfV010 = "INSERT INTO outbox (id, topic, key, payload, headers) VALUES ($1, $2, $3, $4, $5)"
	readOfV010    = `SELECT id FROM outbox
		WHERE published_at IS NULL AND id >= $1 AND topic <> ALL($2)
		ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED`
	markOfV010   = "UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY($1)"
	replayOfV010 = `UPDATE outbox SET published_at = NULL, replays = replays + 1 WHERE id IN (
		SELECT id FROM outbox WHERE published_at BETWEEN $1 AND $2
		ORDER BY published_at LIMIT $3 FOR UPDATE)`
)

// publishAsV010 commits an event as v0.1.0 does.
func (s *system) publishAsV010(thing string) {
	s.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	s.exec(s.Publisher, publishOfV010, id, eventtest.Topic, thing, happened{Thing: thing}, map[string]string{"id": id})
}

// relayAsV010 marks what an old relay would publish, and checks how many they are.
func (s *system) relayAsV010(want int) {
	s.t.Helper()
	rows, err := s.Publisher.Query(s.t.Context(), readOfV010, uuid.Nil.String(), []string{}, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(ids) != want {
		s.t.Fatalf("an old relay finds %d, %v, want %d", len(ids), err, want)
	}
	s.exec(s.Publisher, markOfV010, ids)
}

func (s *system) replayAsV010() {
	s.t.Helper()
	s.exec(s.Publisher, replayOfV010, time.Now().Add(-time.Minute), time.Now().Add(time.Minute), 1000)
}

// An old relay ignores what a new writer commits. What it has published is not published again,
// unless a replay of either release asks for it, perhaps while a new relay publishes it. And an
// operator may repair rows as a superuser, without the module's search_path.
func TestProcessesOfV010RunBeside(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	s.publishAsV010("marked by a superuser")
	s.exec(s.Database.Admin(t), "UPDATE publisher.outbox SET published_at = now()")
	s.Expect(s.Publisher, 0, "SELECT count(*) FROM outbox_pending")
	s.publishAsV010("marked")
	s.publish("new")
	s.Expect(s.Publisher, 2, "SELECT count(*) FROM outbox_pending")
	s.relayAsV010(1)
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox_pending JOIN outbox ON id = event_id WHERE key = 'new'")
	s.Expect(s.Publisher, 1, "SELECT count(*) FROM outbox_pending")
	s.publishAsV010("of an old writer")

	s.subscribe(eventtest.Count)
	s.runOutbox()
	s.Applied(2) // the new one, and that of an old writer
	s.Drained()
	release := s.bus.hold(t, eventtest.Topic)
	s.publish("being published")
	<-s.bus.asked
	before := len(s.bus.all())
	s.replayAsV010()
	s.Expect(s.Publisher, 4, "SELECT count(*) FROM outbox_pending WHERE replays = 1") // not the old writer's, never marked
	release()
	s.Drained()
	s.Applied(5)
	replayed := s.bus.all()[before:]
	for _, g := range replayed {
		if g.replays != "1" {
			t.Errorf("published %v", g)
		}
	}
	if len(replayed) != 4 {
		t.Errorf("%d messages for four events", len(replayed))
	}
	s.replay(5) // whatever relay has published them
	s.Drained()
}
