package payments

import "errors"

// The states of a payment. Each arrow is taken under the lock of the payment's row.
//
//	           payment due               approved
//	(no row) ───────────────▶ pending ───────────────▶ captured ──────┐
//	   │                       │ │ │      refused                     │ order cancelled
//	   │ order cancelled       │ │ └─────────────────▶ declined       ▼
//	   ▼                       │ │                                refunding ─────────▶ refunded
//	tombstone                  │ │ order cancelled,                   ▲     approved
//	(a payment due             │ │ capture claimed       approved     │
//	 that comes later          │ └─────────────▶ cancelling ──────────┘
//	 captures nothing)         │                      │
//	                           │ order cancelled,     │ refused, or no record of it
//	                           │ never claimed        ▼
//	                           └─────────────────▶ cancelled
//
// In cancelling it is unknown whether money was taken: a call may be under way, or its answer was
// lost. Only the provider's answer ends it.
//
// Captured, declined and refunded are published as the payment enters them. A capture that turns up
// in cancelling is not: the order is final by then, and what is published is its refund.
type status string

const (
	tombstone  status = "tombstone"
	pending    status = "pending"
	cancelling status = "cancelling"
	captured   status = "captured"
	declined   status = "declined"
	cancelled  status = "cancelled"
	refunding  status = "refunding"
	refunded   status = "refunded"
)

// trigger is what happens to a payment: the outcome of a call, or a cancellation of its order.
type trigger string

const (
	captureApproved trigger = "capture approved"
	captureRefused  trigger = "capture refused"
	captureUnknown  trigger = "capture never reached the provider"
	cancelInTime    trigger = "order cancelled before the capture was claimed"
	cancelLate      trigger = "order cancelled after the capture was claimed"
	refundApproved  trigger = "refund approved"
)

type arrow struct {
	from status
	on   trigger
}

var arrows = map[arrow]status{
	{pending, captureApproved}:    captured,
	{pending, captureRefused}:     declined,
	{pending, cancelInTime}:       cancelled,
	{pending, cancelLate}:         cancelling,
	{cancelling, captureApproved}: refunding,
	{cancelling, captureRefused}:  cancelled,
	{cancelling, captureUnknown}:  cancelled,
	{captured, cancelLate}:        refunding,
	{refunding, refundApproved}:   refunded,
}

// after returns the status that follows the trigger, which is the same one if there is no arrow.
func (s status) after(n trigger) status {
	if to, drawn := arrows[arrow{s, n}]; drawn {
		return to
	}
	return s
}

type outcome string

const (
	approved outcome = "approved"
	refused  outcome = "refused"
)

type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

var (
	errBadAmount = errors.New("amount below zero or without currency")
	errNoToken   = errors.New("payment token missing")
)

// checkDue refuses a payment that no provider could capture.
func checkDue(m money, token string) error {
	switch {
	case m.Amount < 0 || m.Currency == "":
		return errBadAmount
	case token == "":
		return errNoToken
	}
	return nil
}
