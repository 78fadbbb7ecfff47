package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
	"example.com/shop/platform/devkit/output"
	"example.com/shop/tools/topology"
)

// marker is in all personal data of the customers: the address, the card's token and the subject.
// It has only letters and digits, so that no encoding changes it.
const marker = "quagga7093"

// Personal data stays in the shop's tables: it is in no log line, span or problem, whatever fails.
// There are no metrics yet.
func TestPersonalDataIsNowhereElse(t *testing.T) {
	for name, split := range map[string][]string{"in one process": nil, "all split": topology.Modules} {
		t.Run(name, func(t *testing.T) {
			if split == nil {
				long(t)
			}
			checkPrivacy(t, split)
		})
	}
}

func checkPrivacy(t *testing.T, split []string) {
	logs, spans := &record{}, &record{}
	collector := httptest.NewServer(spans)
	t.Cleanup(collector.Close)
	s := startWith(t, topology.Options{Split: split, Out: io.MultiWriter(logs, t.Output()), Env: []string{
		"LOG_LEVEL=debug", "OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "EVENTS_MAX_ATTEMPTS=2",
		// A mail that is under way when PostgreSQL stops waits for its lease.
		"NOTIFICATIONS_SEND_TIMEOUT=3s", "NOTIFICATIONS_LEASE=5s",
		// One customer, with one mailbox, orders all.
		"HTTP_CALLER_RATE=1000000", "ORDERS_MAX_OPEN=1000000", "ORDERS_MAX_PIECES=1000000", "NOTIFICATIONS_MAX_PER_HOUR=1000000",
	}})
	l, token := &load{}, s.token("customer", marker)
	var clients sync.WaitGroup
	enough := make(chan struct{})
	for i := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-enough:
					return
				default:
					l.acknowledged(placed{id: s.plantOrder(t, token, i), customer: marker})
				}
			}
		})
	}
	finish := sync.OnceFunc(func() { close(enough); clients.Wait() })
	t.Cleanup(finish) // after a failure, too: a client's own would hide it
	until(t, "orders come in", time.Minute, func() bool { return l.done.Load() > 100 })
	for _, stop := range []func() error{s.Server.Immediate, func() error { return s.Server.Restart(context.WithoutCancel(t.Context())) }} {
		if err := stop(); err != nil {
			t.Errorf("restart PostgreSQL: %v", err)
		}
	}
	before := l.done.Load()
	until(t, "orders come in again", time.Minute, func() bool { return l.done.Load() > before+100 })
	s.plantPoison(t)
	s.plantRefused(t, token)
	finish()
	until(t, "every order has its notification", time.Minute, func() bool {
		broken, err := violations(t.Context(), s.admin,
			map[string]string{"": finally["every order has exactly one notification"]})
		return err == nil && len(broken) == 0
	})

	s.checkOperations(t)
	if err := s.Stop(); err != nil { // flushes logs and spans
		t.Errorf("stop: %v", err)
	}
	// The records must have something in them: these are from the faults.
	logs.check(t, "log", "http request", "step failed", "event is a dead letter", "level=DEBUG")
	spans.check(t, "spans", "POST /v1/orders", "handle orders.placed.v1", "INSERT INTO", "invalid UUID")
}

// plantOrder places an order with the marker in every field that can have it.
func (s *shop) plantOrder(t *testing.T, token string, i int) (id string) {
	body := fmt.Sprintf(`{"email":"%s@mail.example","payment_token":%q,"lines":[{"sku":"tea-assam","quantity":1}]}`,
		marker, []string{"tok_ok", "tok_timeout", "tok_" + marker, marker}[i])
	id, err := insist(t.Context(), s.URL, token, uuid.NewString(), body, unreported)
	if err != nil {
		t.Error(err)
	}
	return id
}

// plantPoison publishes events that no handler can decode, and waits until each is a dead letter of
// every subscriber. A dead letter keeps the payload; its reason must not quote it.
func (s *shop) plantPoison(t *testing.T) {
	t.Helper()
	for topic, payload := range map[string]string{
		"orders.placed.v1":      `{"order_id":"no uuid","email":"%[1]s@mail.example","customer_id":"%[1]s"}`,
		"orders.payment_due.v1": `{"order_id":"no uuid","payment_token":"%[1]s"}`,
		"orders.cancelled.v1":   `{"order_id":"%[1]s-%[1]s-%[1]s-%[1]s","reason":"%[1]s"}`,
		"orders.confirmed.v1":   `{"order_id":"no uuid","total":"%[1]s"}`,
	} {
		s.publish(t, uuid.Must(uuid.NewV7()).String(), marker, poison{publisher: "orders", topic: topic, payload: fmt.Sprintf(payload, marker)})
	}
	var dead, quoting int
	until(t, "all poison is a dead letter", time.Minute, func() bool {
		err := s.admin.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE reason LIKE '%' || $1 || '%') FROM (
			SELECT * FROM inventory.failed UNION ALL SELECT * FROM payments.failed UNION ALL SELECT * FROM notifications.failed) AS f
			WHERE dead_at IS NOT NULL`, marker).Scan(&dead, &quoting)
		return err == nil && dead == 8
	})
	if quoting > 0 {
		t.Errorf("%d dead letters quote the event in their reason", quoting)
	}
}

// plantRefused sends requests that are refused. No problem repeats what was sent.
func (s *shop) plantRefused(t *testing.T, token string) {
	t.Helper()
	for name, body := range map[string]string{
		"no address":       `{"email":"%[1]s","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`,
		"a token too long": `{"email":"ada@mail.example","payment_token":"` + strings.Repeat("%[1]s", 10) + `","lines":[{"sku":"tea-assam","quantity":1}]}`,
		"no such product":  `{"email":"%[1]s@mail.example","payment_token":"tok_ok","lines":[{"sku":"%[1]s","quantity":1}]}`,
		"no number":        `{"email":"ada@mail.example","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":"%[1]s"}]}`,
		"unknown field":    `{"email":"%[1]s@mail.example","name":"%[1]s","payment_token":"tok_ok","lines":[{"sku":"tea-assam","quantity":1}]}`,
		"no JSON":          `{"email":"%[1]s@mail.example", %[1]s}`,
	} {
		a, err := ask.Request{
			Method: http.MethodPost, URL: s.URL + "/v1/orders", Token: token, Key: uuid.NewString(), Body: fmt.Sprintf(body, marker),
		}.Send(t.Context(), client)
		if err != nil || a.Status < 400 || a.Status >= 500 {
			t.Errorf("%s: status %d (%v), want a refusal", name, a.Status, err)
		}
		if bytes.Contains(a.Body, []byte(marker)) {
			t.Errorf("%s: the answer repeats it: %s", name, a.Body)
		}
	}
	for _, path := range []string{"/v1/orders/" + marker, "/v1/orders?cursor=" + marker, "/v1/orders?email=" + marker, "/v1/" + marker} {
		get(t, s.URL+path, token)
	}
}

// checkOperations reads every page for operators.
func (s *shop) checkOperations(t *testing.T) {
	t.Helper()
	pages := 0
	for _, p := range s.Processes() {
		for _, page := range []string{"/livez", "/readyz", "/routes", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/cmdline"} {
			a := get(t, p.OpsURL+page, "")
			if a.Status == http.StatusOK {
				pages++
			}
			if found := leaks(string(a.Body)); found != "" {
				t.Errorf("%s shows it at %s: %s", p.Name, page, found)
			}
		}
	}
	if pages < 5*len(s.Processes()) {
		t.Errorf("only %d pages were there", pages)
	}
}

// record stores a log, or spans as an OTLP/HTTP collector, whose protobuf has strings as they are.
type record struct{ output.Text }

func (r *record) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost || request.URL.Path != "/v1/traces" || request.Header.Get("Content-Encoding") != "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(r, request.Body) // a batch that is cut off is sent again
}

// check fails if the marker is in the record, or if one of the parts is not.
func (r *record) check(t *testing.T, name string, has ...string) {
	t.Helper()
	text := r.String()
	for _, part := range has {
		if !strings.Contains(text, part) {
			t.Errorf("the %s of %d bytes has no %q", name, len(text), part)
		}
	}
	if found := leaks(text); found != "" {
		t.Errorf("the %s has it %d times, first in %s", name, strings.Count(text, marker), found)
	}
}

// leaks returns the text around the first marker, if there is one.
func leaks(text string) string {
	at := strings.Index(text, marker)
	if at < 0 {
		return ""
	}
	return fmt.Sprintf("%q", text[max(0, at-300):min(len(text), at+100)])
}

// The marker is found also if it was written in pieces.
func TestALeakOfPersonalDataIsFound(t *testing.T) {
	r := &record{}
	fmt.Fprintf(r, "level=INFO msg=\"http request\" status=201\n")
	if found := leaks(r.String()); found != "" {
		t.Errorf("it found %s", found)
	}
	fmt.Fprintf(r, "level=WARN msg=\"mail not taken\" error=\"550 <%s", marker[:4])
	fmt.Fprintf(r, "%s@mail.example> is unknown\"\n", marker[4:])
	if !strings.Contains(leaks(r.String()), "mail not taken") {
		t.Error("it did not find the address")
	}
}
