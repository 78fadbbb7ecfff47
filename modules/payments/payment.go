package payments

import (
	"errors"
	"time"
)

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
// Cancelling is the honest state: a call may be under way, or its answer was lost, so nobody knows yet whether money was
// taken. It is left only by what the provider says.
//
// Captured, declined and refunded are told to the others as the payment enters them. A capture that is found out
// while cancelling is not told: the order waits for no answer any more, and what becomes of the money is told by refunded.
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
	cancelInTime    news = "order cancelled before anybody claimed the capture"
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

// after is the status that follows the news: the same one where no arrow is drawn, so that news told twice change nothing.
func (s status) after(n news) status {
	if to, drawn := arrows[arrow{s, n}]; drawn {
		return to
	}
	return s
}

// Kinds of attempt. An order has at most one of each, ever.
const (
	capture = "capture"
	refund  = "refund"
)

// outcome is how an attempt ended.
type outcome string

const (
	approved  outcome = "approved"
	refused   outcome = "refused"
	withdrawn outcome = "withdrawn" // nothing was asked of the provider, or nothing reached it
)

// newsOf is what the end of an attempt means for its payment. A refund that is refused is no news: the money is still owed.
func newsOf(kind string, o outcome) news {
	switch {
	case kind == refund && o == approved:
		return refundApproved
	case kind == capture && o == approved:
		return captureApproved
	case kind == capture && o == refused:
		return captureRefused
	case kind == capture && o == withdrawn:
		return captureUnheard
	}
	return ""
}

// money is an amount in minor units and its ISO 4217 code.
type money struct {
	amount   int64
	currency string
}

var (
	errBadAmount = errors.New("amount below zero or without currency")
	errNoToken   = errors.New("payment token missing")
)

// checkDue refuses a payment that no provider could be asked for.
func checkDue(m money, token string) error {
	switch {
	case m.amount < 0 || m.currency == "":
		return errBadAmount
	case token == "":
		return errNoToken
	}
	return nil
}

// backoff is the pause after the given try: first, doubled with every try up to most, and spread over its upper half by
// random in [0, 1), so that attempts which failed together do not come back together.
func backoff(try int32, first, most time.Duration, random float64) time.Duration {
	pause := first
	for ; try > 1 && pause < most; try-- {
		pause *= 2
	}
	pause = min(pause, most)
	return pause/2 + time.Duration(random*float64(pause/2))
}
