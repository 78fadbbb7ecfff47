package attacks

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// wire is a connection to the broker on which the test writes the protocol of NATS by hand, as no
// client's library keeps an attacker from anything.
type wire struct {
	net.Conn
	lines *bufio.Reader
}

// dial connects, as the public key (none for "") with what signer signs. It returns the broker's
// error, or "".
func dial(t *testing.T, s *shop, public, signer string) (w wire, refused string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.broker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w = wire{conn, bufio.NewReader(conn)}
	greeting, err := w.lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(greeting, "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	hello := map[string]any{"verbose": false, "headers": true, "no_responders": true, "protocol": 1}
	if public != "" {
		signed, err := keyOf(t, signer).Sign([]byte(info.Nonce))
		if err != nil {
			t.Fatal(err)
		}
		hello["nkey"], hello["sig"] = public, base64.RawURLEncoding.EncodeToString(signed)
	}
	text, _ := json.Marshal(hello) // texts always can be
	return w, w.try(t, "CONNECT "+string(text))
}

// login connects as a user of the shop.
func login(t *testing.T, s *shop, user string) wire {
	t.Helper()
	w, refused := dial(t, s, publicOf(t, s.Seeds[user]), s.Seeds[user])
	if refused != "" {
		t.Fatal(user, refused)
	}
	return w
}

func keyOf(t *testing.T, seed string) nkeys.KeyPair {
	t.Helper()
	key, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicOf(t *testing.T, seed string) string {
	t.Helper()
	public, err := keyOf(t, seed).PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// try sends a line and returns what the broker says against it, or "".
func (w wire) try(t *testing.T, line string) (refused string) {
	t.Helper()
	if err := w.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(w, "%s\r\nPING\r\n", line) // where the broker has hung up, the reading says so
	for {
		said, err := w.lines.ReadString('\n')
		if problem, found := strings.CutPrefix(said, "-ERR "); found {
			refused = strings.TrimSpace(problem)
		}
		if err != nil && refused == "" {
			t.Fatal(err)
		}
		if err != nil || strings.HasPrefix(said, "PONG") {
			return refused
		}
	}
}

// await reads until the broker delivers a text.
func (w wire) await(t *testing.T, text string) {
	t.Helper()
	for {
		said, err := w.lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s is not delivered: %v", text, err)
		}
		if strings.Contains(said, text) {
			return
		}
	}
}

// publishing is the line that publishes an empty object, with a subject for the answer or "".
func publishing(subject, reply string) string { return "PUB " + subject + " " + reply + " 2\r\n{}" }

// Nobody enters the broker without a key, or with another's public one.
func TestAStrangerAtTheBroker(t *testing.T) {
	s := theShop(t)
	stranger, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := stranger.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for who, keys := range map[string][2]string{
		"no key":             {"", ""},
		"a key of one's own": {publicOf(t, string(unknown)), string(unknown)},
		"payments' public key, and the secret of notifications": {publicOf(t, s.Seeds["payments"]), s.Seeds["notifications"]},
	} {
		if _, refused := dial(t, s, keys[0], keys[1]); !strings.Contains(refused, "Authorization Violation") {
			t.Errorf("with %s the broker says %q", who, refused)
		}
	}
	login(t, s, "payments")
}

// A module that was taken over forges no event of another at the broker, reads none of its answers,
// and destroys nothing. It publishes its own.
func TestARawForgerAtTheBroker(t *testing.T) {
	s := theShop(t)
	w := login(t, s, "notifications")
	for what, line := range map[string]string{
		"a capture":                    publishing("events.payments.captured.v1", ""),
		"an acknowledgement":           publishing("$JS.ACK.events.orders-payments-captured-v1.1.1.1.1.0", ""),
		"another's events":             publishing("$JS.API.CONSUMER.MSG.NEXT.events.orders-payments-captured-v1", "_INBOX_notifications.x"),
		"the stream's messages":        publishing("$JS.API.STREAM.MSG.GET.events", "_INBOX_notifications.x"),
		"another's durable is deleted": publishing("$JS.API.CONSUMER.DELETE.events.orders-payments-captured-v1", "_INBOX_notifications.x"),
		"the stream is deleted":        publishing("$JS.API.STREAM.DELETE.events", "_INBOX_notifications.x"),
		"everything":                   "SUB > 1",
		"the stream's subjects":        "SUB events.> 2",
		"the usual inboxes":            "SUB _INBOX.> 3",
		"another's inbox":              "SUB _INBOX_orders.> 4",
	} {
		if refused := w.try(t, line); !strings.Contains(refused, "Permissions Violation") {
			t.Errorf("%s: the broker says %q", what, refused)
		}
	}
	own := login(t, s, "payments") // the twin
	for _, line := range []string{"SUB _INBOX_payments.> 1", publishing("events.payments.refunded.v1", "_INBOX_payments.x")} {
		if _, err := fmt.Fprintf(own, "%s\r\n", line); err != nil {
			t.Fatal(err)
		}
	}
	own.await(t, `"stream":"events"`)
	confirms(t, s, "ada")
}
