package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// The rules that compare the database with clients, the provider and the mailboxes.
const (
	storedOnce  = "what is stored is what was acknowledged, once"
	declinedEnd = "an order whose card was declined is not confirmed"
	onlyAsked   = "the provider did only what payments has asked of it"
	paidOnce    = "a confirmed order is paid once, and a cancelled one has its money back"
	mailedOnce  = "each message arrives, under one Message-ID"
)

// compared are these rules, with those of the clients' history and the base line.
var compared = []string{storedOnce, declinedEnd, onlyAsked, paidOnce, mailedOnce, answered, linear, resourcesFreed}

// checkAcknowledged fails unless the database has each acknowledged order once, and no other.
func (s *shop) checkAcknowledged(t *testing.T) (broken []string) {
	t.Helper()
	type order struct{ ID, Customer, Status string }
	stored := map[string]order{}
	for _, o := range rowsOf[order](t, s, "SELECT id::text, customer_id, status FROM orders.orders") {
		stored[o.ID] = o
	}
	known := map[string]bool{}
	for _, a := range s.taken {
		if known[a.id] {
			broken = append(broken, fmt.Sprintf("%s: order %s was acknowledged to two requests", storedOnce, a.id))
		}
		known[a.id] = true
		if found := stored[a.id]; found.Customer != a.customer {
			broken = append(broken, fmt.Sprintf("%s: acknowledged order %s is stored for customer %q, want %q",
				storedOnce, a.id, found.Customer, a.customer))
		}
		if stored[a.id].Status == "confirmed" && a.paymentToken == "tok_declined" {
			broken = append(broken, fmt.Sprintf("%s: order %s", declinedEnd, a.id))
		}
	}
	if len(stored) != len(known) {
		broken = append(broken, fmt.Sprintf("%s: %d orders are stored and %d were acknowledged", storedOnce,
			len(stored), len(known)))
	}
	return broken
}

// effect counts what the provider did for an order.
type effect struct {
	captures, refunds int
	kept              int64
}

// checkProvider compares orders with the provider's ledger: each confirmed order has one capture of
// its amount, and each cancelled one none, or one with a refund.
func (s *shop) checkProvider(t *testing.T) (broken []string) {
	t.Helper()
	effects, broken := s.effects(t)
	type order struct {
		ID, Status string
		Total      int64
	}
	for _, o := range rowsOf[order](t, s, "SELECT id::text, status, total FROM orders.orders") {
		e := effects[o.ID]
		if o.Status == "confirmed" && e != (effect{captures: 1, kept: o.Total}) ||
			o.Status == "cancelled" && (e.captures > 1 || e.captures != e.refunds || e.kept != 0) {
			broken = append(broken, fmt.Sprintf("%s: %s order %s of %d: %+v; %s", paidOnce, o.Status, o.ID, o.Total, e,
				s.paymentOf(t, o.ID)))
		}
	}
	return broken
}

// effects returns the provider's ledger by order.
func (s *shop) effects(t *testing.T) (effects map[string]effect, broken []string) {
	t.Helper()
	var ledger struct {
		Items []struct {
			Key      string `json:"idempotency_key"`
			Kind     string `json:"kind"`
			Outcome  string `json:"outcome"`
			Amount   int64  `json:"amount"`
			Currency string `json:"currency"`
		} `json:"items"`
	}
	getJSON(t, s.Outside.Setting("PAYMENTS_PROVIDER_URL")+"/ledger", &ledger)
	orderOf := map[string]string{}
	type payment struct {
		ID    uuid.UUID
		Order string
	}
	for _, p := range rowsOf[payment](t, s, "SELECT id, order_id::text FROM payments.payments") {
		orderOf[p.ID.String()] = p.Order                                 // of the capture
		orderOf[uuid.NewSHA1(p.ID, []byte("refund")).String()] = p.Order // of the refund
	}
	effects = map[string]effect{}
	for _, entry := range ledger.Items {
		order, known := orderOf[entry.Key]
		if !known {
			broken = append(broken, fmt.Sprintf("%s: %+v", onlyAsked, entry))
			continue
		}
		e := effects[order]
		switch {
		case entry.Outcome != "approved":
		case entry.Kind == "capture":
			e.captures++
			e.kept += entry.Amount
		case entry.Kind == "refund":
			e.refunds++
			e.kept -= entry.Amount
		}
		effects[order] = e
	}
	return effects, broken
}

// paymentOf returns the payment of an order and its jobs.
func (s *shop) paymentOf(t *testing.T, orderID string) string {
	t.Helper()
	var text string
	err := s.admin.QueryRow(t.Context(), `SELECT p::text || ' ' || coalesce((SELECT string_agg(j::text, ' ') FROM payments.jobs j WHERE j.key = p.order_id::text), '')
		FROM payments.payments p WHERE p.order_id = $1`, orderID).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

// checkMail compares notifications with the mailboxes: each message arrived, under one Message-ID.
func (s *shop) checkMail(t *testing.T) (broken []string) {
	t.Helper()
	var box struct {
		Items []struct {
			MessageID string `json:"message_id"`
		} `json:"items"`
	}
	getJSON(t, s.Outside.Setting("MAIL_URL")+"/messages", &box)
	arrived := map[string]int{}
	for _, m := range box.Items {
		arrived[strings.Trim(m.MessageID, "<>")]++
	}
	sent := rowsOf[struct{ ID string }](t, s, "SELECT message_id FROM notifications.messages")
	for _, m := range sent {
		if arrived[strings.Trim(m.ID, "<>")] == 0 {
			broken = append(broken, fmt.Sprintf("%s: message %s never arrived", mailedOnce, m.ID))
		}
	}
	if len(arrived) != len(sent) {
		broken = append(broken, fmt.Sprintf("%s: %d different messages arrived and %d were sent", mailedOnce,
			len(arrived), len(sent)))
	}
	return broken
}
