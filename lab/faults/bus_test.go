package faults

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/natsbus"
	"example.com/shop/tools/topology"
)

// The bus changes from memory to nats under load, with an operator's steps: the broker is started
// and provisioned, every schema is switched, and two monoliths are restarted in turn. For a while
// one of them is on each bus.
func TestTheBusChangesUnderLoad(t *testing.T) {
	long(t)
	s := startWith(t, topology.Options{})
	second, err := s.StartMonolith(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	s.baseline(t)
	for what := range s.base {
		if kindOf(what) == "goroutines" {
			s.base[what] += 60 // subscriptions on nats
		}
	}
	var changed time.Time
	report(t, s.underLoad(t, 2000, []string{s.URL, second.URL}, func(progress func(float64)) {
		progress(0.2)
		if err := s.StartBroker(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("start the broker: %v", err)
			return
		}
		s.seam(t, "events", "bus", natsbus.Name)
		for i, p := range s.Processes() {
			progress(0.3 + 0.3*float64(i))
			p.Env = append(p.Env, "BUS="+natsbus.Name)
			s.restart(t, p, p.Stop)
		}
		if err := s.admin.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&changed); err != nil {
			t.Errorf("ask for the time: %v", err)
		}
		progress(0.9)
	}))
	published := pgtest.Count(t, s.admin, `SELECT (SELECT count(*) FROM orders.outbox WHERE created_at > $1) +
		(SELECT count(*) FROM inventory.outbox WHERE created_at > $1) + (SELECT count(*) FROM payments.outbox WHERE created_at > $1)`, changed)
	stream := s.stream(t)
	t.Logf("%d events are in the stream, %d were published after both processes had changed", stream, published)
	if published == 0 || stream < published {
		t.Error("events were published after the change, and not on nats")
	}
}

// seam runs the command seam on this shop.
func (s *shop) seam(t *testing.T, args ...string) (printed string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), args...)
	command.Env = slices.Concat(os.Environ(), s.Addresses(), []string{"GATEWAY_ROUTES=" + s.Routes, "GATEWAY_SECRET=" + s.Secret})
	for _, p := range s.Processes() {
		if p.Name == "gateway" {
			command.Env = append(command.Env, "GATEWAY_OPS_URL="+p.OpsURL)
		}
	}
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Errorf("seam %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return string(out)
}

// stream returns how many events the broker has.
func (s *shop) stream(t *testing.T) int {
	t.Helper()
	stream, err := s.jetStream(t, natsbus.Provisioner).Stream(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	return int(stream.CachedInfo().State.Msgs)
}

// jetStream connects to the broker as one of its users, until the test ends.
func (s *shop) jetStream(t *testing.T, user string) jetstream.JetStream {
	t.Helper()
	options := []nats.Option{nats.CustomInboxPrefix("_INBOX_" + user)}
	if len(s.Seeds) > 0 {
		key, err := nats.NkeyOptionFromSeed(filepath.Join(s.State(), topology.BrokerKeys, user+".nk"))
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, key)
	}
	conn, err := nats.Connect(s.Broker.URL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
