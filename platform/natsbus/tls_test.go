package natsbus_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/certs"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// The broker serves who has a certificate of its authority, and is used if it has one of ours.
// Which scheme the URL has is all the same, as it demands TLS.
func TestTheBrokerWantsACertificate(t *testing.T) {
	t.Parallel()
	dir, ours, another := t.TempDir(), certs.New(t), certs.New(t)
	ours.Write(t, dir)
	conf := filepath.Join(dir, "nats.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, "tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }",
		filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")), 0o600))
	b, err := broker.Start(t.Context(), broker.Options{Command: broker.ThisTest, StoreDir: t.TempDir(), Users: conf})
	must(t, err)
	t.Cleanup(func() { b.Stop() })
	cert, key := ours.Issue(t)
	strange, strangeKey := another.Issue(t)
	for name, c := range map[string]struct {
		as     process.Certificate
		served bool
	}{
		"ours":                         {process.Certificate{Cert: cert, Key: key, CA: ours.PEM}, true},
		"without one":                  {process.Certificate{CA: ours.PEM}, false},
		"of another authority":         {process.Certificate{Cert: strange, Key: strangeKey, CA: ours.PEM}, false},
		"who trusts another authority": {process.Certificate{Cert: cert, Key: key, CA: another.PEM}, false},
		"without settings":             {process.Certificate{}, false},
	} {
		for _, scheme := range []string{"tls://", "nats://"} {
			cfg := newConfig(t, strings.Replace(b.URL(), "nats://", scheme, 1))
			cfg.Certificate = c.as
			bus := open(t, cfg)
			if !c.served {
				pgtest.Until(t, "it fails", func() bool { return strings.Contains(fmt.Sprint(bus.Check(t.Context())), "tls") })
				continue
			}
			pgtest.Until(t, name+" is served", func() bool { return bus.Check(t.Context()) == nil })
			must(t, bus.Provision(t.Context(), cfg.Keeping, listeners))
			messages := subscribe(t, bus)
			sent := newMessages(1)[0]
			publish(t, bus, sent)
			receive(t, messages, sent).Ack()
		}
	}
	plain := newConfig(t, "") // that has no TLS is not used by tls://
	plain.URL = strings.Replace(plain.URL, "nats://", "tls://", 1)
	bus := open(t, plain)
	pgtest.Until(t, "it fails", func() bool {
		return strings.Contains(fmt.Sprint(bus.Check(t.Context())), "secure connection not available")
	})
}

// Production refuses a broker on another host to which events go in the clear.
func TestProductionNeedsTLSToTheBroker(t *testing.T) {
	t.Parallel()
	key, err := nkeys.CreateUser()
	must(t, err)
	seed, err := key.Seed()
	must(t, err)
	for url, safe := range map[string]bool{
		"nats://127.0.0.1:4222": true, "localhost:4222": true, "nats://[::1]:4222": true, "tls://broker:4222": true, "tls://a:4222, tls://b:4222": true,
		"nats://broker:4222": false, "broker:4222": false, "tls://a:4222,nats://b:4222": false, "nats://10.0.0.7:4222": false,
	} {
		bus, err := natsbus.Open(natsbus.Config{URL: url, Stream: "events"}, "parcels", string(seed), slog.New(slog.DiscardHandler))
		must(t, err)
		if unsafe := bus.Unsafe(); (len(unsafe) == 0) != safe || !safe && !strings.HasPrefix(unsafe[0], "NATS_URL may reach") {
			t.Errorf("%s: got %q", url, unsafe)
		}
		_ = bus.Close()
	}
}
