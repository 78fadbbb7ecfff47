package attacks

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// place places an order, and returns its id, or "" and the status.
func place(t *testing.T, s *shop, customer, email, paymentToken, sku string, quantity int) (id string, status int) {
	t.Helper()
	body := fmt.Sprintf(`{"email":%q,"payment_token":%q,"lines":[{"sku":%q,"quantity":%d}]}`, email, paymentToken, sku, quantity)
	status, answer := send(t, http.MethodPost, s.URL+"/v1/orders", token(s, "customer", customer), body, "Idempotency-Key: "+uuid.NewString())
	if status != http.StatusCreated {
		return "", status
	}
	return field(t, answer, "id"), status
}

// confirms places an order and waits until it is confirmed: every module has handled its events.
func confirms(t *testing.T, s *shop, customer string) (id string) {
	t.Helper()
	id, status := place(t, s, customer, customer+"@mail.example", "tok_ok", "tea-assam", 1)
	if id == "" {
		t.Fatal(status)
	}
	until(t, s, customer, id, "confirmed")
	return id
}

// until waits until the order has the status.
func until(t *testing.T, s *shop, customer, id, want string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); got != want; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the order is %s, not %s", got, want)
		}
		_, answer := send(t, http.MethodGet, s.URL+"/v1/orders/"+id, token(s, "customer", customer), "")
		got = field(t, answer, "status")
	}
}

// connect returns a connection to the shop's database, which ends with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// A customer who pays for nothing cannot hold all that there is of a product, and others still buy
// it.
func TestOneCustomerReservesAllStock(t *testing.T) {
	s := theShop(t)
	var held []string
	status := 0
	for status != http.StatusTooManyRequests && len(held) < 20 {
		var id string
		if id, status = place(t, s, "hoarder", "hoarder@mail.example", "tok_slow", "mug-speckled", 100); id != "" {
			held = append(held, id)
		}
	}
	if len(held) != 5 || status != http.StatusTooManyRequests {
		t.Errorf("%d orders of 100 pieces were taken, and then the answer was %d", len(held), status)
	}
	if id, status := place(t, s, "buyer", "buyer@mail.example", "tok_ok", "mug-speckled", 1); status != http.StatusCreated {
		t.Errorf("another customer: %d", status)
	} else {
		until(t, s, "buyer", id, "confirmed")
	}
	for _, id := range held {
		send(t, http.MethodPost, s.URL+"/v1/orders/"+id+"/cancel", token(s, "customer", "hoarder"), "")
	}
}

// A module of payments that has been taken over confirms no order for a cent.
func TestAForgedCapture(t *testing.T) {
	s := theShop(t)
	id, status := place(t, s, "payer", "payer@mail.example", "tok_slow", "cup-celadon", 1)
	if status != http.StatusCreated {
		t.Fatal(status)
	}
	until(t, s, "payer", id, "awaiting_payment")
	db, event := connect(t, s.AdminURL), uuid.Must(uuid.NewV7()).String()
	_, err := db.Exec(t.Context(), `WITH forged AS (
			INSERT INTO payments.outbox (id, topic, key, payload, headers) VALUES ($1::uuid, 'payments.captured.v1', $2::text,
				jsonb_build_object('order_id', $2::text, 'payment_id', $1::text, 'version', 2,
					'amount', jsonb_build_object('amount', 1, 'currency', 'EUR')),
				jsonb_build_object('id', $1::text, 'type', 'payments.captured.v1', 'subject', $2::text, 'source', '/payments', 'specversion', '1.0'))
			RETURNING id, topic)
		INSERT INTO payments.outbox_pending (event_id, topic) SELECT id, topic FROM forged`, event, id)
	if err != nil {
		t.Fatal(err)
	}
	reason := ""
	pgtest.Until(t, "the forged event is a dead letter", func() bool {
		_ = db.QueryRow(t.Context(), "SELECT reason FROM orders.failed WHERE event_id = $1 AND dead_at IS NOT NULL", event).Scan(&reason)
		return reason != ""
	})
	until(t, s, "payer", id, "awaiting_payment")
	send(t, http.MethodPost, s.URL+"/v1/orders/"+id+"/cancel", token(s, "customer", "payer"), "")
	confirms(t, s, "payer") // the twin
}

// Customers who give a stranger's address cannot fill that mailbox. Another gets its mail.
func TestAStrangersMailbox(t *testing.T) {
	s := theShop(t)
	for n := range 60 {
		email := []string{"victim@mail.example", "Victim@mail.example", fmt.Sprintf("victim+%d@mail.example", n)}[n%3]
		if _, status := place(t, s, fmt.Sprint("flooder-", n), email, "tok_declined", "honey-linden", 1); status != http.StatusCreated {
			t.Fatal(status)
		}
	}
	place(t, s, "bystander", "bystander@mail.example", "tok_declined", "honey-linden", 1)
	db := connect(t, s.AdminURL)
	mails := func(mailbox, status string) (n int) {
		err := db.QueryRow(t.Context(), `SELECT count(*) FROM notifications.messages JOIN notifications.recipients USING (order_id)
			WHERE lower(email) LIKE $1 AND status = $2`, mailbox, status).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	sent, withheld := 0, 0
	for deadline := time.Now().Add(time.Minute); (sent+withheld < 60 || mails("bystander@%", "sent") == 0) && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		sent, withheld = mails("victim%", "sent"), mails("victim%", "withheld")
	}
	if sent > 22 || withheld < 38 || mails("bystander@%", "sent") != 1 { // two more, if events overtake each other
		t.Errorf("%d mails are sent to one mailbox, %d are withheld", sent, withheld)
	}
}
