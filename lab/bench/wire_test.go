package bench

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"testing"
	"time"

	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	notificationsmigrations "example.com/shop/migrations/notifications"
	ordersmigrations "example.com/shop/migrations/orders"
	"example.com/shop/modules/orders/ordersapi"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// wire is a database in which orders publishes to other modules, each in a schema like that of
// notifications, without a shop around them.
type wire struct {
	bench       *bench
	name        string
	orders      *postgres.DB
	subscribers []*postgres.DB
	watermill   *pgxpool.Pool // the superuser's, on the schema of watermill's tables
	cfg         events.Config // the defaults
	log         *slog.Logger
}

func (b *bench) newWire(t *testing.T, name string, subscribers int) *wire {
	t.Helper()
	modules := []string{"orders"}
	for i := range subscribers {
		modules = append(modules, fmt.Sprintf("subscriber%d", i+1))
	}
	cfg, err := process.Config[events.Config]()
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{bench: b, name: name, cfg: cfg, log: slog.New(slog.DiscardHandler)}
	admin, plan := b.databaseURL(t, name), postgres.Plan{Modules: modules, Prefix: name + "_", Secret: uuid.NewString()}
	if err := postgres.Provision(t.Context(), admin, plan); err != nil {
		t.Fatal(err)
	}
	open := func(module string, migrations fs.FS) *postgres.DB {
		if err := postgres.Migrate(t.Context(), plan.MigrateURL(admin, module), migrations); err != nil {
			t.Fatal(err)
		}
		db, err := postgres.Open(t.Context(), module, plan.RuntimeURL(admin, module), 16, migrations)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	w.orders = open("orders", ordersmigrations.FS)
	for _, module := range modules[1:] {
		w.subscribers = append(w.subscribers, open(module, notificationsmigrations.FS))
	}
	run(t, admin, "CREATE SCHEMA watermill")
	if w.watermill, err = pgxpool.New(t.Context(), watermillURL(admin)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) drop(t *testing.T) {
	t.Helper()
	for _, db := range append(w.subscribers, w.orders) {
		db.Close()
	}
	w.watermill.Close()
	run(t, w.bench.server.URL(), "DROP DATABASE "+w.name+" WITH (FORCE)")
}

// placedEvent is an event as orders publishes it.
func placedEvent() ordersapi.Placed {
	return ordersapi.Placed{
		OrderID: uuid.Must(uuid.NewV7()).String(), CustomerID: "customer-1", Email: "customer-1@mail.example",
		Lines: []ordersapi.Line{{SKU: "tea-assam", Quantity: 1}, {SKU: "cup-celadon", Quantity: 2}},
		Total: ordersapi.Money{Amount: 4899, Currency: "EUR"}, Version: 1,
	}
}

// way is a way of events from orders to the subscribers, which have the same handler.
type way struct {
	// publish leaves events for delivery, in one transaction, and says when it knew that it had
	// committed.
	publish func(t *testing.T, published ...ordersapi.Placed) (committed time.Time, err error)
	// carry delivers what was published and what will be, until stop, to each subscriber's handler.
	carry func(t *testing.T, handler func(subscriber int) events.Handler) (stop func())
}

// ours is outbox, relay, memory bus and consumer.
func (w *wire) ours() way {
	outbox := events.NewOutbox(w.orders, nil, w.cfg, w.log) // it only writes, until another one carries
	return way{
		publish: func(t *testing.T, published ...ordersapi.Placed) (committed time.Time, err error) {
			err = w.orders.InTx(t.Context(), func(tx pgx.Tx) error {
				for _, e := range published {
					if err := outbox.PublishTx(t.Context(), tx, e); err != nil {
						return err
					}
				}
				return nil
			})
			return time.Now(), err
		},
		carry: func(t *testing.T, handler func(subscriber int) events.Handler) (stop func()) {
			bus := events.NewMemoryBus()
			var stops []func()
			for i, subscriber := range w.subscribers {
				stops = append(stops, w.consume(t, subscriber, bus, w.cfg.ConsumerBatch, handler(i)))
			}
			outbox = events.NewOutbox(w.orders, bus, w.cfg, w.log)
			stopRelay := pgtest.Run(t, outbox.Run)
			return func() {
				stopRelay()
				for _, stop := range stops {
					stop()
				}
				bus.Close()
			}
		},
	}
}

// stock is watermill's forwarder over watermill-sql, and one transaction for each event. It has one
// subscriber.
func (w *wire) stock() way {
	return way{
		publish: func(t *testing.T, published ...ordersapi.Placed) (committed time.Time, err error) {
			err = pgx.BeginFunc(t.Context(), w.watermill, func(tx pgx.Tx) error {
				for _, e := range published {
					m := stockMessage(t, e)
					if err := publishStock(watermillsql.TxFromPgx(tx), topicTables, "orders", e.Topic(), m); err != nil {
						return err
					}
				}
				return nil
			})
			return time.Now(), err
		},
		carry: func(t *testing.T, handler func(subscriber int) events.Handler) (stop func()) {
			subscriber, err := newStockSubscriber(w.watermill, "subscriber")
			if err != nil {
				t.Fatal(err)
			}
			bus, err := newStockPublisher(watermillsql.BeginnerFromPgx(w.watermill), topicTables)
			if err != nil {
				t.Fatal(err)
			}
			stopConsumer := w.consume(t, w.subscribers[0], subscriber, 1, handler(0))
			stopForwarder := forwardStock(t, w.watermill, "orders", bus)
			return func() { stopForwarder(); stopConsumer() }
		},
	}
}

// consume runs a subscriber's consumer, with so many events in a transaction at most.
func (w *wire) consume(
	t *testing.T, subscriber *postgres.DB, bus message.Subscriber, batch int, h events.Handler,
) (stop func()) {
	t.Helper()
	cfg := w.cfg
	cfg.ConsumerBatch = batch
	consumer := events.NewConsumer(subscriber, bus, []events.Handler{h}, cfg, w.log)
	if err := consumer.Subscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	return pgtest.Run(t, consumer.Run)
}

// effect is what notifications' own handler does.
func effect(_ context.Context, tx pgx.Tx, e ordersapi.Placed) error {
	postgres.QueueSQL(tx, `INSERT INTO recipients (order_id, email, created_at) VALUES ($1, $2, now())
		ON CONFLICT (order_id) DO NOTHING`, e.OrderID, e.Email)
	return nil
}
