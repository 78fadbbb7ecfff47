package architecture

import (
	"bufio"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const storedSuffix = ".jsonl"

// stored is an event as a release stored it in its module's outbox.
type stored struct {
	ID      uuid.UUID       `json:"id"`
	Key     string          `json:"key"`
	Payload json.RawMessage `json:"payload"`
	Headers json.RawMessage `json:"headers"`

	topic string
}

// storedEvents returns the committed events of every release, in the order in which they were
// stored.
func storedEvents(t *testing.T, tree Tree) []stored {
	t.Helper()
	var found []stored
	for _, file := range tree.Match(releasedFolder + "/events/*" + storedSuffix) {
		lines := bufio.NewScanner(strings.NewReader(tree[file]))
		for n := 1; lines.Scan(); n++ {
			s := stored{topic: strings.TrimSuffix(path.Base(file), storedSuffix)}
			if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			found = append(found, s)
		}
	}
	// By time, as UUIDv7 sort.
	slices.SortFunc(found, func(a, b stored) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	return found
}

// TestStoredEventsAreAsReleased checks the stored events by the released schemas: a wrong schema
// protects no subscriber.
func TestStoredEventsAreAsReleased(t *testing.T) {
	t.Parallel()
	tree := repository(t)
	events := storedEvents(t, tree)
	for _, file := range tree.Match(releasedFolder + "/*" + schemaSuffix) {
		topic := strings.TrimSuffix(path.Base(file), schemaSuffix)
		if !slices.ContainsFunc(events, func(s stored) bool { return s.topic == topic }) {
			t.Errorf("%s: has no stored event\n"+
				"  instead: run make release-contracts, which takes them from a run of the system", file)
		}
	}
	for _, s := range events {
		spec, err := open(asResponse(tree[releasedFolder+"/"+s.topic+schemaSuffix]))
		if err != nil {
			t.Fatalf("%s/events/%s%s: has no released schema\n  instead: delete it, if the topic was retired: %v",
				releasedFolder, s.topic, storedSuffix, err)
		}
		response := spec.Spec.Paths.Find("/event").Get.Responses.Status(200).Value
		schema := response.Content.Get("application/json").Schema.Value
		var payload any
		if err := json.Unmarshal(s.Payload, &payload); err != nil {
			t.Fatal(err)
		}
		if err := schema.VisitJSON(payload, openapi3.MultiErrors()); err != nil {
			t.Errorf("%s: the stored event %s does not fit the released schema\n"+
				"  instead: correct architecture/schema.go, which describes the Go type: %v", s.topic, s.ID, err)
		}
	}
	if len(events) == 0 && len(tree.Below(releasedFolder, storedSuffix)) > 0 {
		t.Error("no stored events were found: the search is broken")
	}
}

// replayStored publishes what earlier releases stored to the running system, as a replay does:
// every subscriber must handle it.
func replayStored(t *testing.T, tree Tree, conn *pgx.Conn) {
	t.Helper()
	modules := tree.Modules()

	events := storedEvents(t, tree)
	if !slices.ContainsFunc(events, func(s stored) bool { return len(tree.subscribers(s.topic)) > 0 }) {
		t.Skip("no module listens to an event that was released")
	}
	publish(t, conn, modules, events)
	for _, f := range read(t, conn, modules, "SELECT DISTINCT topic, reason FROM %s.failed") {
		t.Errorf("modules/%s: cannot handle a stored %s: %s\n"+
			"  instead: handle events as they were released: outboxes and dead letters still store them",
			f.module, f.topic, f.text)
	}
	handled := read(t, conn, modules, "SELECT topic, count(*)::text FROM %s.inbox GROUP BY topic")
	if len(handled) == 0 {
		t.Fatal("none of the stored events was handled: the replay is broken")
	}

	// The replay finds failures: an unreadable event of every topic becomes a dead letter of every
	// subscriber.
	broken := map[string]stored{}
	for _, h := range handled {
		broken[h.topic] = stored{Key: "x", Payload: json.RawMessage(`[]`), Headers: json.RawMessage(`{}`),
			topic: h.topic}
	}
	var unreadable []stored
	for _, b := range broken {
		unreadable = append(unreadable, b)
	}
	publish(t, conn, modules, unreadable)
	failed := read(t, conn, modules, "SELECT topic, '' FROM %s.failed")
	for _, h := range handled {
		if !slices.Contains(failed, found{h.module, h.topic, ""}) {
			t.Errorf("modules/%s: an unreadable %s was accepted: the replay proves nothing", h.module, h.topic)
		}
	}
	t.Logf("%d stored events, handled: %v", len(events), handled)
}

// publish writes events to the outboxes of their modules, under new ids, and waits until all are
// published: the bus in memory accepts an event once every subscriber has handled it, or stored it
// as failed.
func publish(t *testing.T, conn *pgx.Conn, modules []string, events []stored) {
	t.Helper()
	for _, s := range events {
		module, _, _ := strings.Cut(s.topic, ".")
		if !slices.Contains(modules, module) {
			t.Fatalf("%s was stored by %s, which is not a module any more\n  instead: %s", s.topic, module,
				retire("it has no subscribers", releasedFolder+"/events/"+s.topic+storedSuffix+" and its schema"))
		}
		id := uuid.Must(uuid.NewV7())
		_, err := conn.Exec(t.Context(), fmt.Sprintf(`
			WITH made AS (
				INSERT INTO %[1]s.outbox (id, topic, key, payload, headers)
				VALUES ($1, $2, $3, $4, $5::jsonb || jsonb_build_object('id', $1::uuid)) RETURNING id, topic)
			INSERT INTO %[1]s.outbox_pending (event_id, topic) SELECT id, topic FROM made`,
			pgx.Identifier{module}.Sanitize()),
			id, s.topic, s.Key, s.Payload, s.Headers)
		if err != nil {
			t.Fatalf("publish %s: %v", s.topic, err)
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		waiting := read(t, conn, modules, "SELECT topic, event_id::text FROM %s.outbox_pending")
		if len(waiting) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not every stored event was published: %v", waiting)
		}
	}
}

// found is a row of a module's schema.
type found struct{ module, topic, text string }

func read(t *testing.T, conn *pgx.Conn, modules []string, query string) []found {
	t.Helper()
	return inEach(t, conn, modules, query, func(module string, row pgx.CollectableRow) (found, error) {
		f := found{module: module}
		err := row.Scan(&f.topic, &f.text)
		return f, err
	})
}

// inEach returns the rows that a query selects of each module's schema, which is its %s.
func inEach[T any](
	t *testing.T, conn *pgx.Conn, modules []string, query string, scan func(module string, row pgx.CollectableRow) (T, error),
) (all []T) {
	t.Helper()
	for _, module := range modules {
		rows, _ := conn.Query(t.Context(), fmt.Sprintf(query, pgx.Identifier{module}.Sanitize())) // CollectRows returns the error
		here, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) { return scan(module, row) })
		if err != nil {
			t.Fatalf("read the schema of %s: %v", module, err)
		}
		all = append(all, here...)
	}
	return all
}
