package faults

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"example.com/shop/platform/devkit/wire"
	"example.com/shop/tools/topology"
)

// sabotage disables mechanisms of a shop without a change of its code: by triggers on the tables,
// by functions and operators that shadow PostgreSQL's own, and by proxies before the broker, the
// payment provider and the mail server.
type sabotage []func(t *testing.T, s *shop)

// atCommit is for a trigger that runs for inserted rows when the transaction is about to commit.
const atCommit = "AFTER INSERT"

// trigger runs the PL/pgSQL body for each row that is written to the table, until undo is called.
func (s *shop) trigger(t *testing.T, when, table, body string) (undo func()) {
	t.Helper()
	kind, deferred := "TRIGGER", ""
	if when == atCommit {
		kind, deferred = "CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED"
	}
	name := fmt.Sprintf("%s_sabotage%d", table, sabotaged.Add(1)) // a table may have several
	s.exec(t, fmt.Sprintf(`
		CREATE FUNCTION %[1]s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN %[2]s END $$;
		CREATE %[3]s sabotage%[7]d %[4]s ON %[6]s %[5]s FOR EACH ROW EXECUTE FUNCTION %[1]s()`,
		name, body, kind, when, deferred, table, sabotaged.Load()))
	return func() { s.exec(t, "DROP FUNCTION "+name+" CASCADE") }
}

// sabotaged counts the triggers.
var sabotaged atomic.Int64

// triggers returns a sabotage with a trigger on each of the tables.
func triggers(when, body string, tables ...string) func(t *testing.T, s *shop) {
	return func(t *testing.T, s *shop) {
		t.Helper()
		for _, table := range tables {
			s.trigger(t, when, table, body)
		}
	}
}

// inEach returns the table of that name in each module's schema.
func inEach(table string) (tables []string) {
	for _, m := range topology.Modules {
		tables = append(tables, m+"."+table)
	}
	return tables
}

// One event in sixteen has an id that ends with 0.
var (
	markUnpublished = triggers("BEFORE INSERT",
		"IF right(NEW.event_id::text, 1) = '0' THEN RETURN NULL; END IF; RETURN NEW;", "orders.outbox_pending")
	failAtRandom = triggers(atCommit,
		"IF right(NEW.event_id::text, 1) = '0' THEN RAISE 'not the event''s fault'; END IF; RETURN NULL;", inEach("inbox")...)
	dropFailures  = triggers("BEFORE INSERT", "RETURN NULL;", inEach("failed")...)
	dropAnswers   = triggers("BEFORE INSERT", "RETURN NULL;", "orders.idempotency_keys")
	forgetRequest = triggers("BEFORE INSERT", "NEW.request_hash := ''; RETURN NEW;", "orders.idempotency_keys")
	dropCauses    = triggers("BEFORE INSERT",
		"NEW.headers := NEW.headers || jsonb_build_object('correlationid', NEW.id); RETURN NEW;", "payments.outbox")
	postponeDeadlines = triggers("BEFORE INSERT OR UPDATE",
		"IF NEW.deadline IS NOT NULL THEN NEW.deadline := now() + interval '1 day'; END IF; RETURN NEW;", "orders.orders")
	confirmDeclined = triggers("BEFORE UPDATE",
		"IF NEW.reason = 'declined' THEN NEW.status := 'confirmed'; NEW.reason := ''; END IF; RETURN NEW;", "orders.orders")
	dropTombstones = triggers(atCommit, `
		IF NEW.status IN ('cancelled', 'tombstone') THEN
			EXECUTE format('DELETE FROM %I.%I WHERE order_id = $1', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING NEW.order_id;
		END IF;
		RETURN NULL;`, "inventory.reservations", "payments.payments")
)

// shadow returns a sabotage that defines something that shadows PostgreSQL's own of that name.
func shadow(definition string, modules ...string) func(t *testing.T, s *shop) {
	return func(t *testing.T, s *shop) {
		t.Helper()
		for _, m := range modules {
			s.exec(t, fmt.Sprintf(definition, m))
			s.exec(t, fmt.Sprintf("ALTER ROLE %[1]s_rt SET search_path = %[1]s, pg_catalog", m))
		}
		s.set(t, nil, s.modules()...) // for new sessions
	}
}

// confuse has a module's statements take other statuses for this one.
func confuse(module, others, one string) func(t *testing.T, s *shop) {
	return shadow(`
		CREATE FUNCTION %[1]s.equal(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
			SELECT $1 OPERATOR(pg_catalog.=) $2
				OR $2 OPERATOR(pg_catalog.=) '`+one+`' AND strpos('`+others+`', $1) > 0 $$;
		CREATE OPERATOR %[1]s.= (LEFTARG = text, RIGHTARG = text, FUNCTION = %[1]s.equal)`, module)
}

var (
	moveAgain     = confuse("inventory", "shipped released", "reserved")
	moveConfirmed = confuse("orders", "confirmed", "placed")
)

// lockNothing deletes the rows that consumers lock.
func lockNothing(t *testing.T, s *shop) {
	t.Helper()
	for _, m := range topology.Modules {
		s.exec(t, "DELETE FROM "+m+".turn")
	}
}

// disturbForgetful disturbs the delivery to modules whose inboxes lose every handled event, and get
// them all back at the end.
func disturbForgetful(t *testing.T, s *shop, r *rand.Rand, progress func(float64)) {
	for _, m := range topology.Modules {
		s.exec(t, fmt.Sprintf("CREATE TABLE %[1]s.handled (LIKE %[1]s.inbox)", m))
		undo := s.trigger(t, atCommit, m+".inbox", fmt.Sprintf(`
			DELETE FROM %[1]s.inbox WHERE event_id = NEW.event_id;
			INSERT INTO %[1]s.handled SELECT NEW.*;
			RETURN NULL;`, m))
		defer s.exec(t, fmt.Sprintf("INSERT INTO %[1]s.inbox SELECT * FROM %[1]s.handled ON CONFLICT DO NOTHING", m))
		defer undo()
	}
	disturbDelivery(t, s, r, progress)
}

// skipEvents hides one pending event in sixteen from the relay.
func skipEvents(t *testing.T, s *shop) {
	t.Helper()
	s.exec(t, `ALTER TABLE orders.outbox_pending ENABLE ROW LEVEL SECURITY;
		CREATE POLICY skip ON orders.outbox_pending USING (right(event_id::text, 1) <> '0') WITH CHECK (true)`)
}

// commitLater has PostgreSQL acknowledge commits before they are on disk.
func commitLater(t *testing.T, s *shop) {
	t.Helper()
	s.exec(t, "ALTER DATABASE shop SET synchronous_commit = off")
	s.exec(t, "ALTER SYSTEM SET wal_writer_delay = '10s'")
	s.exec(t, "ALTER SYSTEM SET wal_writer_flush_after = '64MB'")
	s.exec(t, "SELECT pg_reload_conf()")
	s.set(t, nil, s.modules()...) // for new sessions
}

// leaveOpen leaves a transaction open, as a hanging process would.
func leaveOpen(t *testing.T, s *shop) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Plan.RuntimeURL(s.AdminURL, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	if _, err := conn.Exec(t.Context(), "SET idle_in_transaction_session_timeout = 0; BEGIN"); err != nil {
		t.Fatal(err)
	}
}

// sellTwice leaves reserved pieces on hand, and drops the constraint that would refuse it.
func sellTwice(t *testing.T, s *shop) {
	t.Helper()
	s.exec(t, "ALTER TABLE inventory.stock DROP CONSTRAINT stock_balances")
	s.trigger(t, "BEFORE UPDATE", "inventory.stock", "NEW.on_hand := greatest(NEW.on_hand, OLD.on_hand); RETURN NEW;")
}

// acknowledgeEarly acknowledges every event as soon as the broker has delivered it, which no user
// of a broker with users may.
func acknowledgeEarly(t *testing.T, s *shop) {
	t.Helper()
	conn, err := nats.Connect(s.Broker.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	_, err = conn.Subscribe(">", func(m *nats.Msg) {
		if strings.HasPrefix(m.Reply, "$JS.ACK.") {
			_ = conn.Publish(m.Reply, []byte("+ACK"))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

var idempotencyKey = regexp.MustCompile(`"idempotency_key":"[^"]+"`)

// changeKeys sends each call to the provider under a new key, and lets it know no earlier one.
func changeKeys(t *testing.T, s *shop) {
	t.Helper()
	s.beforeProvider(t, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method == http.MethodGet {
			http.Error(w, `{"outcome":"unknown"}`, http.StatusNotFound)
			return
		}
		body, _ := io.ReadAll(r.Body)
		body = idempotencyKey.ReplaceAll(body, fmt.Appendf(nil, `"idempotency_key":%q`, uuid.NewString()))
		r.Body = io.NopCloser(bytes.NewReader(body))
		forward.ServeHTTP(w, r)
	})
}

var messageID = regexp.MustCompile(`Message-ID:\s+<`)

// changeMessageIDs sends every mail with another Message-ID.
func changeMessageIDs(t *testing.T, s *shop) {
	t.Helper()
	var passed atomic.Int64
	s.beforeMail(t, func(passing []byte) []byte {
		return messageID.ReplaceAll(passing, fmt.Appendf(nil, "Message-ID: <%d.", passed.Add(1)))
	})
}

// markUnsent marks a mail as sent when it is enqueued, and slows down the mail server.
func markUnsent(t *testing.T, s *shop) {
	t.Helper()
	s.trigger(t, "BEFORE INSERT", "notifications.jobs",
		"UPDATE notifications.messages SET status = 'sent', sent_at = now() WHERE id = NEW.id; RETURN NULL;")
	s.beforeMail(t, nil).Delay(20 * time.Millisecond)
}

// beforeMail puts a wire before the mail server, which changes what passes unless change is nil.
func (s *shop) beforeMail(t *testing.T, change func(passing []byte) []byte) *wire.Wire {
	t.Helper()
	w := wire.To(t, s.Outside.Setting("NOTIFICATIONS_SMTP_ADDR"))
	w.Change = change
	s.set(t, []string{"NOTIFICATIONS_SMTP_ADDR=" + w.Address()}, s.serving(t, "notifications"))
	return w
}
