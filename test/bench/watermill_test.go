package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/modules/orders/ordersapi"
)

// This is watermill's stock path, the reference for delivery: what its documentation shows for an outbox in PostgreSQL.
//
//	use case ─ one transaction ─▶ outbox table ─▶ forwarder ─▶ topic's table ─▶ subscriber ─▶ handler, one transaction for each event
//	                              (watermill-sql)              (watermill-sql)
//
// It is tuned where that costs nothing: polls every 10 ms and not every second, and, as a router takes only one forwarder, whose handler's name
// is hard-coded, each forwarder has a router of its own.

// outboxTopic is where events wait for the forwarder.
func outboxTopic(module string) string { return "outbox." + module }

// stockPoll is how often an idle subscriber looks.
const stockPoll = 10 * time.Millisecond

// watermillURL is for the superuser's connections to the schema of watermill's tables. In the stock shop each of 12 handlers and 3 forwarders keeps
// one while it works, and a forwarder another one to publish, so 18 are used at the most; pgx's own limit, 4 on a small machine, would starve
// them, and with 64 nothing was faster on two cores.
func watermillURL(admin string) string {
	return admin + "&options=-csearch_path%3Dwatermill&pool_max_conns=24"
}

// newStockPublisher publishes on db, which may be a transaction. The tables of the topics are there: they are made by whoever subscribes.
func newStockPublisher(db watermillsql.ContextExecutor) (message.Publisher, error) {
	return watermillsql.NewPublisher(db, watermillsql.PublisherConfig{SchemaAdapter: watermillsql.DefaultPostgreSQLSchema{}}, watermill.NopLogger{})
}

// newStockSubscriber gives each group every event.
func newStockSubscriber(db *pgxpool.Pool, group string) (message.Subscriber, error) {
	return watermillsql.NewSubscriber(watermillsql.BeginnerFromPgx(db), watermillsql.SubscriberConfig{
		ConsumerGroup: group, PollInterval: stockPoll, InitializeSchema: true,
		SchemaAdapter: watermillsql.DefaultPostgreSQLSchema{}, OffsetsAdapter: watermillsql.DefaultPostgreSQLOffsetsAdapter{},
	}, watermill.NopLogger{})
}

// publishStock writes the event into the module's outbox in the transaction.
func publishStock(tx pgx.Tx, module, topic string, messages ...*message.Message) error {
	outbox, err := newStockPublisher(watermillsql.TxFromPgx(tx))
	if err != nil {
		return err
	}
	return forwarder.NewPublisher(outbox, forwarder.PublisherConfig{ForwarderTopic: outboxTopic(module)}).Publish(topic, messages...)
}

// startForwarder forwards the module's outbox to a bus, until the forwarder is closed.
func startForwarder(ctx context.Context, db *pgxpool.Pool, module string, bus message.Publisher) (*forwarder.Forwarder, error) {
	outbox, err := newStockSubscriber(db, "forwarder")
	if err != nil {
		return nil, err
	}
	f, err := forwarder.NewForwarder(outbox, bus, watermill.NopLogger{}, forwarder.Config{ForwarderTopic: outboxTopic(module)})
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
	f, err := startForwarder(context.WithoutCancel(t.Context()), db, module, bus)
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
