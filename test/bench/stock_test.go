package bench

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"testing"
	"time"

	watermillsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"example.com/shop/load"
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

// playStock is the setting that makes this program the shop on watermill's stock path: the modules themselves, with their routes, handlers and
// workers, in one process as in the monolith. Only what carries an event from one module to the other is exchanged.
const playStock = "BENCH_PLAY_STOCK"

// stockConfig is what the monolith can be told, as far as the stock shop needs it.
type stockConfig struct {
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

// serveStock serves until ctx ends.
func serveStock(ctx context.Context) error {
	cfg, err := process.Config[stockConfig]()
	if err != nil {
		return err
	}
	log := cfg.Service.Log.New("stock")
	pools := map[string]*pgxpool.Pool{}
	for module, schema := range map[string]struct {
		url        string
		migrations fs.FS
	}{
		"orders":        {cfg.OrdersURL, ordersmigrations.FS},
		"inventory":     {cfg.InventoryURL, inventorymigrations.FS},
		"payments":      {cfg.PaymentsURL, paymentsmigrations.FS},
		"notifications": {cfg.NotificationsURL, notificationsmigrations.FS},
	} {
		if pools[module], err = postgres.Open(ctx, module, schema.url, cfg.Service.MaxConns, schema.migrations); err != nil {
			return err
		}
	}
	// The modules' outboxes do not run, and waking them wakes nobody: stockOutbox leads what is written into watermill's.
	outbox := func(module string) *events.Outbox {
		return events.NewOutbox(pools[module], nil, cfg.Service.Events, log)
	}
	stock := inventory.New(cfg.Inventory, pools["inventory"], outbox("inventory"), log, time.Now)
	modules := map[string]service.Module{
		"inventory":     stock,
		"orders":        orders.New(cfg.Orders, pools["orders"], outbox("orders"), log, time.Now, stock),
		"payments":      payments.New(cfg.Payments, pools["payments"], outbox("payments"), log, time.Now),
		"notifications": notifications.New(cfg.Notifications, pools["notifications"], log, time.Now),
	}

	verifier, err := web.NewVerifier(ctx, cfg.Service.Web.Auth)
	if err != nil {
		return err
	}
	server := web.New(cfg.Service.Web, verifier, log)
	watermill, err := pgxpool.New(ctx, cfg.WatermillURL)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, m := range modules {
		if err := server.Mount(name, m.Routes); err != nil {
			return err
		}
		for _, w := range m.Workers() {
			group.Go(func() error { return w.Run(ctx) })
		}
		bus, err := newStockSubscriber(watermill, name)
		if err != nil {
			return err
		}
		// One event in a transaction, and, as a router's handlers do, each topic beside the others. What remains of our consumer is the inbox:
		// the stock path has none, and would apply an event twice after a crash.
		one := cfg.Service.Events
		one.ConsumerBatch = 1
		for _, h := range m.Handlers() {
			consumer := events.NewConsumer(pools[name], bus, []events.Handler{h}, one, log)
			if err := consumer.Subscribe(ctx); err != nil {
				return err
			}
			group.Go(func() error { return consumer.Run(ctx) })
		}
	}
	bus, err := newStockPublisher(watermillsql.BeginnerFromPgx(watermill))
	if err != nil {
		return err
	}
	for _, name := range []string{"orders", "inventory", "payments"} {
		if _, err := startForwarder(ctx, watermill, name, bus); err != nil {
			return err
		}
	}
	group.Go(func() error { return server.Run(ctx, ctx) })
	return group.Wait()
}

// stockOutbox leads what a module writes into its outbox into watermill's, in the same transaction and instead of a row of ours: as watermill's
// own publisher would write it. So the modules' code is the same, down to its statements.
const stockOutbox = `
	ALTER TABLE %[1]s.outbox RENAME TO unused_outbox;
	CREATE VIEW %[1]s.outbox AS SELECT * FROM %[1]s.unused_outbox;
	GRANT SELECT, INSERT ON %[1]s.outbox TO %[2]s;
	CREATE FUNCTION watermill.forward_%[1]s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
		INSERT INTO watermill."watermill_%[3]s" (uuid, payload, metadata, transaction_id)
		VALUES (gen_random_uuid()::text, json_build_object('destination_topic', NEW.topic, 'uuid', NEW.id,
			'payload', translate(encode(convert_to(NEW.payload::text, 'UTF8'), 'base64'), E'\n', ''), 'metadata', NEW.headers),
			'{}', pg_current_xact_id());
		RETURN NEW;
	END $$;
	CREATE TRIGGER forward INSTEAD OF INSERT ON %[1]s.outbox FOR EACH ROW EXECUTE FUNCTION watermill.forward_%[1]s()`

// startStock starts the stock shop in the place of a monolith, with the same schemas and the same world around it.
func (b *bench) startStock(t *testing.T) *shop {
	t.Helper()
	s := b.start(t, "stock", nil)
	if err := s.Processes()[0].Stop(); err != nil {
		t.Fatal(err)
	}
	run(t, s.AdminURL, "CREATE SCHEMA watermill")
	for _, module := range []string{"orders", "inventory", "payments"} {
		run(t, s.AdminURL, fmt.Sprintf(stockOutbox, module, s.name+"_"+module+"_rt", outboxTopic(module)))
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
	s.stock, err = child.Start(child.Options{
		Name: "stock", Path: program, Out: t.Output(),
		Env: append(append(os.Environ(), s.Addresses()...),
			playStock+"=yes", "LOG_LEVEL=warn", "LOG_FORMAT=text", "HTTP_ADDR="+address, "AUTH_PUBLIC_KEY="+s.Key.PublicPEM(),
			"WATERMILL_DATABASE_URL="+watermillURL(s.AdminURL),
			"PAYMENTS_PROVIDER_URL="+s.Outside.ProviderURL, "NOTIFICATIONS_SMTP_ADDR="+s.Outside.SMTPAddr),
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
		case <-s.stock.Done():
			t.Fatalf("the stock shop did not start: %v", s.stock.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
