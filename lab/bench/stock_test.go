package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"example.com/shop/lab/load"
	inventorymigrations "example.com/shop/migrations/inventory"
	notificationsmigrations "example.com/shop/migrations/notifications"
	ordersmigrations "example.com/shop/migrations/orders"
	paymentsmigrations "example.com/shop/migrations/payments"
	"example.com/shop/modules/inventory"
	"example.com/shop/modules/notifications"
	"example.com/shop/modules/orders"
	"example.com/shop/modules/payments"
	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/platform/service"
	"example.com/shop/platform/web"
)

// The shops that this program can be: the modules themselves, with their routes, handlers and
// workers, in one process as in the monolith. Only what carries an event from one module to the
// other differs.
const (
	stockPath   = "stock path"  // watermill's, into which a trigger leads what the modules publish
	fairerPath  = "fairer path" // watermill's, with its own publisher, and tables that are emptied
	undelivered = "undelivered" // nothing: only requests are served
)

// composedConfig holds the settings of the monolith that a composed shop needs.
type composedConfig struct {
	OrdersURL        string `env:"ORDERS_DATABASE_URL"`
	InventoryURL     string `env:"INVENTORY_DATABASE_URL"`
	PaymentsURL      string `env:"PAYMENTS_DATABASE_URL"`
	NotificationsURL string `env:"NOTIFICATIONS_DATABASE_URL"`
	// Of the schema with watermill's tables, which belong to no module.
	WatermillURL string `env:"WATERMILL_DATABASE_URL"`

	Service       service.Config
	Orders        orders.Config
	Inventory     inventory.Config
	Payments      payments.Config
	Notifications notifications.Config
}

// composed is a shop that is put together here.
type composed struct {
	cfg     composedConfig
	log     *slog.Logger
	dbs     map[string]*postgres.DB
	modules map[string]service.Module
}

// serveComposed serves until ctx ends.
func serveComposed(ctx context.Context, path string) error {
	cfg, err := process.Config[composedConfig]()
	if err != nil {
		return err
	}
	if path == undelivered { // so no order ends
		cfg.Orders.MaxOpen, cfg.Orders.MaxPieces = math.MaxInt, math.MaxInt
	}
	log := cfg.Service.Log.Install(path)
	dbs := map[string]*postgres.DB{}
	for module, schema := range map[string]struct {
		url        string
		migrations fs.FS
	}{
		"orders":        {cfg.OrdersURL, ordersmigrations.FS},
		"inventory":     {cfg.InventoryURL, inventorymigrations.FS},
		"payments":      {cfg.PaymentsURL, paymentsmigrations.FS},
		"notifications": {cfg.NotificationsURL, notificationsmigrations.FS},
	} {
		if dbs[module], err = postgres.Open(ctx, module, schema.url, cfg.Service.MaxConns, schema.migrations); err != nil {
			return err
		}
		if path == fairerPath {
			pool, err := publishByWatermill(ctx, dbs[module].Pool(), module)
			if err != nil {
				return err
			}
			dbs[module] = postgres.NewDB(module, pool)
		}
	}
	// The modules' outboxes do not run: what is published goes the path's way, or none.
	outbox := func(module string) *events.Outbox {
		return events.NewOutbox(dbs[module], nil, cfg.Service.Events, log)
	}
	stock := inventory.New(cfg.Inventory, dbs["inventory"], outbox("inventory"), log, time.Now)
	modules := map[string]service.Module{
		"inventory":     stock,
		"orders":        orders.New(cfg.Orders, dbs["orders"], outbox("orders"), log, time.Now, stock),
		"payments":      payments.New(cfg.Payments, dbs["payments"], outbox("payments"), log, time.Now),
		"notifications": notifications.New(cfg.Notifications, dbs["notifications"], log, time.Now),
	}

	verifier, err := web.NewVerifier(cfg.Service.Web.Auth)
	if err != nil {
		return err
	}
	server := web.New(cfg.Service.Web, verifier, log, postgres.Transient)
	for name, m := range modules {
		if err := server.Mount(name, m.Routes); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if path != undelivered {
		if err := (composed{cfg, log, dbs, modules}).deliver(ctx, group, path == fairerPath); err != nil {
			return err
		}
	}
	if _, err := server.Listen(); err != nil {
		return err
	}
	group.Go(func() error { return server.Run(ctx, ctx) })
	return group.Wait()
}

// publishing are the modules that publish.
var publishing = []string{"orders", "inventory", "payments"}

// deliver runs the modules' handlers and workers, and the forwarders.
func (c composed) deliver(ctx context.Context, group *errgroup.Group, fairer bool) error {
	watermill, err := pgxpool.New(ctx, c.cfg.WatermillURL)
	if err != nil {
		return err
	}
	for name, m := range c.modules {
		for _, w := range m.Workers() {
			group.Go(func() error { return w(ctx) })
		}
		bus, err := newStockSubscriber(watermill, name)
		if err != nil {
			return err
		}
		// One event in a transaction, and, as a router's handlers do, each topic beside the others.
		// What remains of our consumer is the inbox: the stock path has none, and would apply an
		// event twice after a crash.
		one := c.cfg.Service.Events
		one.ConsumerBatch = 1
		for _, h := range m.Handlers() {
			consumer := events.NewConsumer(c.dbs[name], bus, []events.Handler{h}, one, c.log)
			if err := consumer.Subscribe(ctx); err != nil {
				return err
			}
			group.Go(func() error { return consumer.Run(ctx) })
		}
	}
	bus, err := newStockPublisher(watermillsql.BeginnerFromPgx(watermill), topicTables)
	if err != nil {
		return err
	}
	for _, name := range publishing {
		if _, err := startForwarder(ctx, watermill, name, bus, fairer); err != nil {
			return err
		}
	}
	if fairer {
		group.Go(func() error { return emptyTopics(ctx, watermill) })
	}
	return nil
}

// byTrigger leads what a module writes into its outbox into watermill's, in the same transaction
// and instead of a row of ours.
const byTrigger = `
	ALTER TABLE %[1]s.outbox RENAME TO unused_outbox;
	CREATE VIEW %[1]s.outbox AS SELECT * FROM %[1]s.unused_outbox;
	GRANT SELECT, INSERT ON %[1]s.outbox TO %[2]s;
	CREATE FUNCTION watermill.forward_%[1]s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		INSERT INTO watermill."watermill_%[3]s" (uuid, payload, metadata, transaction_id)
		VALUES (gen_random_uuid()::text, json_build_object('destination_topic', NEW.topic, 'uuid', NEW.id,
			'payload', translate(encode(convert_to(NEW.payload::text, 'UTF8'), 'base64'), E'\n', ''), 'metadata', NEW.headers),
			'{}', pg_current_xact_id());
		RETURN NULL;
	END $$;
	CREATE TRIGGER forward INSTEAD OF INSERT ON %[1]s.outbox FOR EACH ROW EXECUTE FUNCTION watermill.forward_%[1]s()`

// byPublisher lets a module write into watermill's outbox itself.
const byPublisher = `
	GRANT USAGE ON SCHEMA watermill TO %[2]s;
	ALTER DEFAULT PRIVILEGES IN SCHEMA watermill GRANT INSERT ON TABLES TO %[2]s;
	ALTER DEFAULT PRIVILEGES IN SCHEMA watermill GRANT USAGE ON SEQUENCES TO %[2]s`

// compose starts a composed shop in the place of a monolith, with the same schemas and the same
// world around it.
func (b *bench) compose(t *testing.T, path string) *shop {
	t.Helper()
	s := b.start(t, strings.Fields(path)[0])
	if err := s.Processes()[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if path != undelivered {
		run(t, s.AdminURL, "CREATE SCHEMA watermill")
		for _, module := range publishing {
			statements := map[string]string{stockPath: byTrigger, fairerPath: byPublisher}[path]
			run(t, s.AdminURL, fmt.Sprintf(statements, module, s.name+"_"+module+"_rt", outboxTopic(module)))
		}
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port, err := freeport.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s.composed, err = child.Start(child.Options{
		Name: s.name, Path: program, Out: t.Output(),
		Env: slices.Concat(os.Environ(), s.Addresses(), s.Outside.Settings, []string{
			playing + "=" + path, "LOG_LEVEL=warn", "LOG_FORMAT=text", "HTTP_ADDR=" + address,
			"AUTH_PUBLIC_KEY=" + s.Key.PublicPEM(), "WATERMILL_DATABASE_URL=" + watermillURL(s.AdminURL),
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.plan.URL = "http://" + address
	for {
		_, err := load.Shop{URL: s.plan.URL}.SKUs(t.Context())
		if err == nil {
			return s
		}
		select {
		case <-s.composed.Done():
			t.Fatalf("the composed shop did not start: %v", errors.Join(s.composed.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
