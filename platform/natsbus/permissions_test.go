package natsbus_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/bustest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// listening are the modules of the contract suite that listen to its topic; bustest publishes it.
var listening = []string{"one", "two", "three"}

// guarded is a broker with users, in whose folder the keys are.
type guarded struct {
	mortal
	keys string
	cfg  settings
}

func startGuarded(t *testing.T) guarded {
	t.Helper()
	g := guarded{keys: t.TempDir()}
	g.cfg = newConfig(t, "nats://later")
	g.write(t)
	b, err := broker.Start(t.Context(), broker.Options{
		Command: broker.ThisTest, StoreDir: t.TempDir(), Users: filepath.Join(g.keys, broker.UsersFile),
	})
	must(t, err)
	t.Cleanup(func() { b.Stop() })
	g.mortal, g.cfg.URL = mortal{b, t}, b.URL()
	return g
}

// write writes the users, and makes the keys that are missing.
func (g guarded) write(t *testing.T) {
	t.Helper()
	users := []broker.User{{Name: "bustest"}, {Name: natsbus.Provisioner}}
	users[0].Publish, users[0].Subscribe = natsbus.Permissions(g.cfg.Stream, "bustest", nil)
	users[1].Publish, users[1].Subscribe = natsbus.ProvisionerPermissions()
	for _, module := range listening {
		publish, subscribe := natsbus.Permissions(g.cfg.Stream, module, []string{bustest.Topic})
		users = append(users, broker.User{Name: module, Publish: publish, Subscribe: subscribe})
	}
	must(t, broker.WriteUsers(g.keys, users))
}

func (g guarded) seed(t *testing.T, user string) string {
	t.Helper()
	seed, err := broker.Seed(g.keys, user)
	must(t, err)
	return seed
}

func (g guarded) open(t *testing.T, user string) *natsbus.Bus {
	t.Helper()
	bus, err := natsbus.Open(g.cfg.Config, user, g.seed(t, user), slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { bus.Close() })
	return bus
}

// Each module has the rights that it needs.
func TestBusWithUsers(t *testing.T) {
	t.Parallel()
	bustest.Run(t, func(t *testing.T) bustest.Bus {
		g := startGuarded(t)
		listeners := map[string][]string{}
		for _, module := range listening {
			listeners[module] = []string{bustest.Topic}
		}
		must(t, g.open(t, natsbus.Provisioner).Provision(t.Context(), g.cfg.Keeping, listeners))
		return bustest.Bus{
			Publisher:  g.open(t, "bustest"),
			Subscriber: func(t *testing.T, module string) message.Subscriber { return g.open(t, module) },
		}
	})
}

// A module that was taken over reaches nothing of another's, and a stranger nothing at all. Without
// users the broker does all of this for anybody.
func TestWhatAModuleMayNot(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	must(t, g.open(t, natsbus.Provisioner).Provision(t.Context(), g.cfg.Keeping, map[string][]string{"one": {bustest.Topic}}))
	if conn, err := nats.Connect(g.cfg.URL); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a stranger: %v", err)
		conn.Close()
	}
	refusals := make(chan error, 1)
	key, err := nkeys.FromSeed([]byte(g.seed(t, "two")))
	must(t, err)
	public, err := key.PublicKey()
	must(t, err)
	conn, err := nats.Connect(g.cfg.URL, nats.Nkey(public, key.Sign),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
	must(t, err)
	defer conn.Close()
	stream, durable := g.cfg.Stream, "one-"+strings.ReplaceAll(bustest.Topic, ".", "-")
	publish := func(subject string) func() error { return func() error { return conn.Publish(subject, nil) } }
	subscribe := func(subject string) func() error {
		return func() error { _, err := conn.SubscribeSync(subject); return err }
	}
	for what, try := range map[string]func() error{
		"publish another's topic":    publish(stream + "." + bustest.Topic),
		"acknowledge another's":      publish("$JS.ACK." + stream + "." + durable + ".1.1.1.1.0"),
		"pull another's":             publish("$JS.API.CONSUMER.MSG.NEXT." + stream + "." + durable),
		"delete a durable":           publish("$JS.API.CONSUMER.DELETE." + stream + "." + durable),
		"make a durable":             publish("$JS.API.CONSUMER.CREATE." + stream + ".two-x"),
		"delete the stream":          publish("$JS.API.STREAM.DELETE." + stream),
		"purge the stream":           publish("$JS.API.STREAM.PURGE." + stream),
		"read a message":             publish("$JS.API.STREAM.MSG.GET." + stream),
		"answer in another's inbox":  publish("_INBOX_one.x"),
		"read another's inbox":       subscribe("_INBOX_one.>"),
		"read the default inboxes":   subscribe("_INBOX.>"),
		"read everything":            subscribe(">"),
		"read the stream's subjects": subscribe(stream + ".>"),
	} {
		must(t, try())
		select {
		case err := <-refusals:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(patience):
			t.Errorf("%s: it may", what)
		}
	}
	must(t, g.open(t, "two").Publish("two.happened.v1", newMessages(20)...)) // in a batch, too
	must(t, g.open(t, "two").Publish("two.happened.v1", newMessages(1)...))
}

// While a key is rotated both are valid, and the older one is not any more once it is retired.
func TestAKeyIsRotated(t *testing.T) {
	t.Parallel()
	g := startGuarded(t)
	reach := func(seed string) bool {
		bus, err := natsbus.Open(g.cfg.Config, "one", seed, slog.New(slog.DiscardHandler))
		must(t, err)
		defer bus.Close()
		return bus.Check(context.Background()) == nil
	}
	older := g.seed(t, "one")
	must(t, broker.Rotate(g.keys, "one"))
	if err := broker.Rotate(g.keys, "one"); err == nil {
		t.Error("a third key")
	}
	newer := g.seed(t, "one")
	if older == newer || reach(newer) || !reach(older) {
		t.Error("the broker has another key before it reads the users again")
	}
	running, err := natsbus.Open(g.cfg.Config, "one", older, slog.New(slog.DiscardHandler))
	must(t, err)
	defer running.Close()
	g.write(t)
	must(t, g.Reload())
	pgtest.Until(t, "the newer key is valid", func() bool { return reach(newer) })
	if !reach(older) || running.Check(t.Context()) != nil {
		t.Error("the older key is not valid beside it")
	}
	must(t, broker.Retire(g.keys, "one"))
	g.write(t)
	must(t, g.Reload())
	pgtest.Until(t, "the older key is not valid", func() bool { return !reach(older) && running.Check(t.Context()) != nil })
	if !reach(newer) {
		t.Error("the newer key is not valid")
	}
}

// A seed that is none is refused at the start, and not printed.
func TestNoSeed(t *testing.T) {
	t.Parallel()
	_, err := natsbus.Open(newConfig(t, "nats://127.0.0.1:1").Config, "one", "SUNOSEED", slog.New(slog.DiscardHandler))
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "ONE_NATS_SEED") || strings.Contains(err.Error(), "SUNO") {
		t.Errorf("got %v", err)
	}
}
