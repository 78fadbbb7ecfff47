package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/modules/orders/ordersapi"
)

// This is watermill's stock path, the reference for delivery: what its documentation shows for an
// outbox in PostgreSQL. Each event is handled in a transaction of its own.
//
//	use case ─ one transaction ─▶ outbox table ─▶ forwarder ─▶ topic table ─▶ subscriber ─▶ handler
//	                              (watermill-sql)              (watermill-sql)
//
// It is tuned where that costs nothing: polls every 10 ms and not every second, and, as a router
// takes only one forwarder, whose handler's name is hard-coded, each forwarder has a router of its
// own.

// outboxTopic is where events wait for the forwarder.
func outboxTopic(module string) string { return "outbox." + module }

// stockPoll is how often an idle subscriber polls.
const stockPoll = 10 * time.Millisecond

// watermillURL is for the superuser's connections to the schema of watermill's tables. In a
// composed shop each of 12 handlers and 3 forwarders keeps one while it works, and a forwarder
// another one to publish, so 18 are used at the most; pgx's own limit, 4 on a small machine, would
// starve them, and with 64 nothing was faster on two cores.
func watermillURL(admin string) string {
	return admin + "&options=-csearch_path%3Dwatermill&pool_max_conns=24"
}

// tableOf names the schema too, for modules, whose search path has only their own.
func tableOf(topic string) string { return fmt.Sprintf(`watermill."watermill_%s"`, topic) }

// A topic's table keeps what was published, and each group has a place in it. A queue's keeps what
// its one subscriber has not acknowledged.
var (
	topicTables = watermillsql.DefaultPostgreSQLSchema{}
	queueTables = watermillsql.PostgreSQLQueueSchema{GenerateMessagesTableName: tableOf}
)

// newStockPublisher publishes on db, which may be a transaction. The tables are there: subscribers
// make them.
func newStockPublisher(db watermillsql.ContextExecutor, tables watermillsql.SchemaAdapter) (message.Publisher, error) {
	return watermillsql.NewPublisher(db, watermillsql.PublisherConfig{SchemaAdapter: tables}, watermill.NopLogger{})
}

// newStockSubscriber gives each group every event.
func newStockSubscriber(db *pgxpool.Pool, group string) (message.Subscriber, error) {
	return watermillsql.NewSubscriber(watermillsql.BeginnerFromPgx(db), watermillsql.SubscriberConfig{
		ConsumerGroup: group, PollInterval: stockPoll, InitializeSchema: true,
		SchemaAdapter: topicTables, OffsetsAdapter: watermillsql.DefaultPostgreSQLOffsetsAdapter{},
	}, watermill.NopLogger{})
}

// newQueueSubscriber deletes what it has delivered.
func newQueueSubscriber(db *pgxpool.Pool) (message.Subscriber, error) {
	return watermillsql.NewSubscriber(watermillsql.BeginnerFromPgx(db), watermillsql.SubscriberConfig{
		PollInterval: stockPoll, InitializeSchema: true, SchemaAdapter: queueTables,
		OffsetsAdapter: watermillsql.PostgreSQLQueueOffsetsAdapter{DeleteOnAck: true, GenerateMessagesTableName: tableOf},
	}, watermill.NopLogger{})
}

// publishStock writes the events into the module's outbox, by db, which may be a transaction.
func publishStock(
	db watermillsql.ContextExecutor, tables watermillsql.SchemaAdapter, module, topic string, messages ...*message.Message,
) error {
	outbox, err := newStockPublisher(db, tables)
	if err != nil {
		return err
	}
	cfg := forwarder.PublisherConfig{ForwarderTopic: outboxTopic(module)}
	return forwarder.NewPublisher(outbox, cfg).Publish(topic, messages...)
}

// startForwarder forwards the module's outbox, which may be a queue, to a bus, until the forwarder
// is closed.
func startForwarder(
	ctx context.Context, db *pgxpool.Pool, module string, bus message.Publisher, queue bool,
) (*forwarder.Forwarder, error) {
	outbox, err := newStockSubscriber(db, "forwarder")
	if queue {
		outbox, err = newQueueSubscriber(db)
	}
	if err != nil {
		return nil, err
	}
	f, err := forwarder.NewForwarder(outbox, bus, watermill.NopLogger{},
		forwarder.Config{ForwarderTopic: outboxTopic(module)})
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- f.Run(ctx) }()
	select {
	case <-f.Running():
		return f, nil
	case err := <-failed:
		return nil, fmt.Errorf("forward the outbox of %s: %w", module, err)
	}
}

// forwardStock is startForwarder for a test; stop waits for what is under way.
func forwardStock(t *testing.T, db *pgxpool.Pool, module string, bus message.Publisher) (stop func()) {
	t.Helper()
	f, err := startForwarder(context.WithoutCancel(t.Context()), db, module, bus, false)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := f.Close(); err != nil {
			t.Errorf("stop the forwarder: %v", err)
		}
	}
}

// stockMessage is the event as a message, with headers of the size that ours have.
func stockMessage(t *testing.T, e ordersapi.Placed) *message.Message {
	t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.Must(uuid.NewV7()).String()
	m := message.NewMessage(id, payload)
	m.Metadata = message.Metadata{
		"specversion": "1.0", "id": id, "source": "/orders", "type": e.Topic(), "subject": e.OrderID, "correlationid": id,
		"time": time.Now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "aggregateversion": "1",
	}
	return m
}

// stockOutbox has watermill's own publisher write what the module publishes: in a batch that writes
// to our outbox, that statement becomes the publisher's. So it is in the module's transaction, and
// costs no round trip, while the module's code stays the same.
type stockOutbox struct{ module string }

func (o stockOutbox) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		if strings.HasPrefix(q.SQL, "-- name: Publish\n") {
			var sent sentStatement
			if err := publishAll(&sent, o.module, q.Arguments); err != nil {
				panic(err)
			}
			q.SQL, q.Arguments = sent.sql, sent.args
		}
	}
	return ctx
}

func (stockOutbox) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (stockOutbox) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

// publishAll publishes the events that are the arguments of the statement with which an outbox
// writes them: ids, topics, keys, payloads and headers.
func publishAll(db watermillsql.ContextExecutor, module string, args []any) error {
	ids, topics, payloads, headers := args[0].([]string), args[1].([]string), args[3].([]string), args[4].([]message.Metadata)
	var forwarded collected
	publisher := forwarder.NewPublisher(&forwarded, forwarder.PublisherConfig{ForwarderTopic: outboxTopic(module)})
	for i, id := range ids {
		m := message.NewMessage(id, []byte(payloads[i]))
		m.Metadata = headers[i]
		if err := publisher.Publish(topics[i], m); err != nil {
			return err
		}
	}
	outbox, err := newStockPublisher(db, queueTables)
	if err != nil {
		return err
	}
	return outbox.Publish(outboxTopic(module), forwarded...)
}

// collected is a publisher that keeps what it is given, to be published at once.
type collected []*message.Message

func (c *collected) Publish(_ string, messages ...*message.Message) error {
	*c = append(*c, messages...)
	return nil
}

func (*collected) Close() error { return nil }

// sentStatement keeps what is sent to it.
type sentStatement struct {
	watermillsql.ContextExecutor // nil: a publisher asks for nothing
	sql                          string
	args                         []any
}

func (s *sentStatement) ExecContext(_ context.Context, sql string, args ...any) (watermillsql.Result, error) {
	s.sql, s.args = sql, args
	return nil, nil //nolint:nilnil // a publisher does not look at the result
}

// publishByWatermill is the pool with a stockOutbox in it.
func publishByWatermill(ctx context.Context, pool *pgxpool.Pool, module string) (*pgxpool.Pool, error) {
	defer pool.Close()
	cfg := pool.Config()
	tracer := multitracer.New(cfg.ConnConfig.Tracer)
	tracer.BatchTracers = append(tracer.BatchTracers, stockOutbox{module})
	cfg.ConnConfig.Tracer = tracer
	return pgxpool.NewWithConfig(ctx, cfg)
}

// emptyTopics deletes what every group has acknowledged, as users of watermill-sql do by a job:
// only its queues, which know no groups, empty themselves.
func emptyTopics(ctx context.Context, watermill *pgxpool.Pool) error {
	const prefix = "watermill_offsets_"
	for {
		rows, err := watermill.Query(ctx, `SELECT tablename FROM pg_tables
			WHERE schemaname = 'watermill' AND starts_with(tablename, $1)`, prefix)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, offsets := range tables {
			if err == nil {
				_, err = watermill.Exec(ctx, fmt.Sprintf(`DELETE FROM "watermill_%s" WHERE (transaction_id, "offset") <=
					(SELECT last_processed_transaction_id, offset_acked FROM %q ORDER BY 1, 2 LIMIT 1)`,
					strings.TrimPrefix(offsets, prefix), offsets))
			}
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("empty the topics: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
