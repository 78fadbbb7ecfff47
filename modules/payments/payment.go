package payments

import "errors"

// The life of a payment. Each arrow is taken under the lock of the payment's row.
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
//	                           │ order cancelled,     │ refused, or never heard of
//	                           │ never claimed        ▼
//	                           └─────────────────▶ cancelled
//
// Cancelling is the honest state: a call may be under way, or its answer was lost, so nobody knows
// yet whether money was taken. It is left only by what the provider says.
//
// Captured, declined and refunded are published as the payment enters them. A capture that is found
// out while cancelling is not: the order waits for no answer any more, and what becomes of the
// money is published as refunded.
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

// news is something that the module learns about a payment.
type news string

const (
	captureApproved news = "capture approved"
	captureRefused  news = "capture refused"
	captureUnheard  news = "capture never reached the provider"
	cancelInTime    news = "order cancelled before the capture was claimed"
	cancelLate      news = "order cancelled after the capture was claimed"
	refundApproved  news = "refund approved"
)

type arrow struct {
	from status
	on   news
}

var arrows = map[arrow]status{
	{pending, captureApproved}:    captured,
	{pending, captureRefused}:     declined,
	{pending, cancelInTime}:       cancelled,
	{pending, cancelLate}:         cancelling,
	{cancelling, captureApproved}: refunding,
	{cancelling, captureRefused}:  cancelled,
	{cancelling, captureUnheard}:  cancelled,
	{captured, cancelLate}:        refunding,
	{refunding, refundApproved}:   refunded,
}

// after is the status that follows the news: the same one where no arrow is drawn, so that news
// that come twice change nothing.
func (s status) after(n news) status {
	if to, drawn := arrows[arrow{s, n}]; drawn {
		return to
	}
	return s
}

// outcome is how a capture or a refund ended.
type outcome string

const (
	approved outcome = "approved"
	refused  outcome = "refused"
)

// money is an amount in minor units and its ISO 4217 code.
type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

var (
	errBadAmount = errors.New("amount below zero or without currency")
	errNoToken   = errors.New("payment token missing")
)

// checkDue refuses a payment that no provider could be asked for.
func checkDue(m money, token string) error {
	switch {
	case m.Amount < 0 || m.Currency == "":
		return errBadAmount
	case token == "":
		return errNoToken
	}
	return nil
}
