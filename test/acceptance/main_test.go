// Package acceptance tests what the shop promises its clients, over HTTP alone. It needs only a
// base URL, a signing key and the mailboxes, so it runs against any topology.
package acceptance

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/topology"
)

// shop is the shop under test.
var shop struct {
	url, mailURL string
	key          *tokens.Key
}

// TestMain uses the shop of SHOP_URL, SHOP_MAIL_URL and SHOP_KEY (the file of the signing key), or
// starts one: on the server of SHOP_DATABASE_URL (an admin connection) if that is set, and through
// the PgBouncer (program or image) of SHOP_POOLER.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		stop, err := connect()
		if err != nil {
			fmt.Fprintln(os.Stderr, "start the shop:", err)
			return 1
		}
		defer stop()
		return m.Run()
	}())
}

func connect() (stop func(), err error) {
	if url := os.Getenv("SHOP_URL"); url != "" {
		shop.url, shop.mailURL = url, os.Getenv("SHOP_MAIL_URL")
		shop.key, err = tokens.LoadOrCreate(os.Getenv("SHOP_KEY"))
		return func() {}, err
	}
	ctx := context.Background()
	bin, err := topology.Build(ctx)
	if err != nil {
		return nil, err
	}
	remove := func() { _ = os.RemoveAll(bin) }
	if err := buildReleased(ctx, bin); err != nil {
		remove()
		return nil, err
	}
	running, err := topology.Start(ctx, topology.Options{
		Bin: bin, Out: logFile(), Split: split(), SlowPayment: 8 * time.Second,
		DatabaseURL: os.Getenv("SHOP_DATABASE_URL"), Pooler: os.Getenv("SHOP_POOLER"),
		// An order expires before tok_slow has answered, and long after every other token has.
		Env: []string{"ORDERS_DEADLINE=5s", "PAYMENTS_CALL_TIMEOUT=500ms", "PAYMENTS_LEASE=5s", "PAYMENTS_QUIET=6s"},
	})
	if err != nil {
		remove()
		return nil, err
	}
	shop.url, shop.mailURL, shop.key = running.URL, running.Outside.MailURL, running.Key
	return func() {
		if err := running.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the shop:", err)
		}
		remove()
	}, nil
}

// buildReleased replaces the services in SHOP_RELEASED, separated by commas, by those of the last
// release. They run on today's schema and bus, like the old side of a canary.
func buildReleased(ctx context.Context, bin string) error {
	names := os.Getenv("SHOP_RELEASED")
	if names == "" {
		return nil
	}
	services := strings.Split(names, ",")
	for _, name := range services {
		if !slices.Contains(split(), name) {
			return fmt.Errorf("SHOP_RELEASED: %q is not split off, so its service would not run; see SHOP_SPLIT", name)
		}
	}
	//nolint:gosec // our script
	build := exec.CommandContext(ctx, "../../deploy/build-released.sh", append([]string{bin}, services...)...)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the last release: %w", err)
	}
	return nil
}

// split returns the modules in SHOP_SPLIT, separated by commas, or all of them for all.
func split() []string {
	switch names := os.Getenv("SHOP_SPLIT"); names {
	case "":
		return nil
	case "all":
		return topology.Modules
	default:
		return strings.Split(names, ",")
	}
}

// logFile returns stderr if SHOP_LOG is set, and else discards the shop's logs.
func logFile() io.Writer {
	if os.Getenv("SHOP_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

// token describes a token to make; the zero value of a field means a good one.
type token struct {
	subject, role, audience, issuer string
	ttl                             time.Duration
}

func (t token) mint() string {
	return shop.key.Mint(tokens.Claims{Subject: t.subject, Role: t.role, Audience: t.audience, Issuer: t.issuer,
		TTL: t.ttl})
}

func staff() string { return token{subject: "grace", role: "staff"}.mint() }
