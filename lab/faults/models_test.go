package faults

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The two models define which histories of clients are possible with a correct shop. Porcupine
// searches for an order of the operations, each between its call and its return, in which every
// answer is what the model would answer (linearizability).

// later has the states that the saga may take an order to by itself. Other states are final.
var later = map[string][]string{
	"placed":           {"awaiting_payment", "confirmed", "cancelled out_of_stock", "cancelled declined", "cancelled expired"},
	"awaiting_payment": {"confirmed", "cancelled declined", "cancelled expired"},
}

// linear is the name of the rule.
const linear = "what clients were answered does not contradict itself"

const (
	read             = "read"
	cancelling       = "cancel"
	byCustomer       = "cancelled customer"
	noAnswer         = "no answer"
	end        int64 = math.MaxInt64 // when an operation without an answer returns
)

// orderModel is one order. Its state is the status (and reason) that was seen last, because the
// order moves by itself between operations; only a cancellation by its customer needs a cancel
// operation. A cancel without an answer may have been executed or not.
//
// It cannot find a step that no client saw, or a state that went back and forth between two reads.
var orderModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{"placed"} },
	Step: func(state, input, output any) []any {
		before, after := state.(string), output.(string)
		_, open := later[before]
		switch {
		case after == noAnswer && open:
			return []any{before, byCustomer}
		case after == noAnswer, after == before:
			return []any{before}
		case open && after == byCustomer && input == cancelling, slices.Contains(later[before], after):
			return []any{after}
		}
		return nil
	},
}).ToModel()

// stocked is how many pieces a shelf has at first.
const stocked = 6

// shelf is one product. The model does not distinguish reserved from shipped pieces.
type shelf struct {
	onHand, restocked int64
	held, over        uint64 // bits of cancelled orders that hold pieces, and that no longer can
}

// maxBorrowed is how many cancelled orders a shelf has bits for.
const maxBorrowed = 64

// stockOp is an operation on a shelf, by a client or by an order.
type stockOp struct {
	what     string
	quantity int64
	order    int // of the cancelled ones
}

// The operations on a shelf. A confirmed order took its pieces between the POST and the moment when
// its client saw it end, a refused one found too few in that time. One that was cancelled for
// another reason may have held its pieces for some time, which may begin and end after its client
// saw the cancellation: two operations, open until the end of the run.
const (
	restock  = "restock"
	sold     = "sold"
	refused  = "refused"
	borrowed = "borrowed"
	returned = "returned"
)

// stockModel is one shelf, as the public API shows it. Each order of the history has one product.
var stockModel = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{shelf{onHand: stocked}} },
	Step: func(state, input, output any) []any {
		s, op := state.(shelf), input.(stockOp)
		bit, enough := uint64(1)<<op.order, s.onHand >= op.quantity
		switch op.what {
		case restock:
			s.onHand, s.restocked = s.onHand+op.quantity, s.restocked+op.quantity
			fallthrough // its answer shows the shelf as well
		case read:
			if seen := output.(shelf); s.onHand == seen.onHand && s.restocked == seen.restocked {
				return []any{s}
			}
		case sold:
			s.onHand -= op.quantity
			if enough {
				return []any{s}
			}
		case refused:
			if !enough {
				return []any{s}
			}
		case borrowed:
			if s.over&bit != 0 || !enough {
				return []any{s}
			}
			took := s
			took.onHand, took.held = s.onHand-op.quantity, s.held|bit
			return []any{s, took}
		case returned:
			if s.held&bit != 0 {
				s.onHand, s.held = s.onHand+op.quantity, s.held&^bit
			}
			s.over |= bit
			return []any{s}
		}
		return nil
	},
}).ToModel()

// check reads everything once more, in the settled shop, and checks the whole history.
func (h *history) check(t *testing.T) {
	t.Helper()
	settled := h.now()
	open := map[string]int{} // by sku
	for _, p := range h.bought {
		if !final(p.state) {
			p.state, p.seen = h.ask(t, p.token, p.id, read), h.now()
		}
		op := stockOp{quantity: p.quantity, order: open[p.sku]}
		add := func(what string, until int64) {
			op.what = what
			h.stock[p.sku] = append(h.stock[p.sku], one(p.call, until, op, nil))
		}
		switch p.state {
		case "confirmed":
			add(sold, p.seen)
		case "cancelled out_of_stock":
			add(refused, p.seen)
		default:
			if open[p.sku] == maxBorrowed {
				t.Errorf("%s has more cancelled orders than its model can follow", p.sku)
				return
			}
			add(borrowed, settled)
			add(returned, settled)
			open[p.sku]++
		}
	}
	operations := [2]int{}
	for sku := range h.stock {
		h.look(t, sku)
		h.judge(t, sku, stockModel, h.stock[sku])
		operations[0] += len(h.stock[sku])
	}
	for id, ops := range h.orders {
		h.judge(t, "order "+id, orderModel, ops)
		operations[1] += len(ops)
	}
	t.Logf("four clients' history: %d operations on %d shelves and %d on %d orders; %d were not answered",
		operations[0], len(h.stock), operations[1], len(h.orders), h.unanswered)
	if len(h.stock) == 0 || len(h.orders) == 0 {
		t.Error("the clients have no history")
	}
}

// judge checks a history, and reports it if it is impossible, or too long to decide in a minute.
func (h *history) judge(t *testing.T, of string, model porcupine.Model, ops []porcupine.Operation) {
	t.Helper()
	verdict := porcupine.CheckOperationsTimeout(model, ops, time.Minute)
	if verdict == porcupine.Ok {
		return
	}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&text, "\n  %12s to %12s  %+v: %+v", time.Duration(op.Call), time.Duration(op.Return), op.Input,
			op.Output)
	}
	h.finds(linear, "the history of %s is %s:%s", of, verdict, &text)
}

// one returns an operation, from call to back.
func one(call, back int64, input, output any) porcupine.Operation {
	return porcupine.Operation{Input: input, Call: call, Output: output, Return: back}
}

// The model accepts possible histories and refuses impossible ones.
func TestOrderModel(t *testing.T) {
	for name, test := range map[string]struct {
		history []porcupine.Operation
		right   bool
	}{
		"all the way": {right: true, history: []porcupine.Operation{
			one(1, 2, read, "placed"), one(3, 4, read, "awaiting_payment"), one(5, 6, read, "confirmed"),
			one(7, 8, cancelling, "confirmed")}},
		"a step that was not seen": {right: true, history: []porcupine.Operation{one(1, 2, read, "placed"), one(3, 4, read, "cancelled declined")}},
		"two reads at once":        {right: true, history: []porcupine.Operation{one(1, 4, read, "confirmed"), one(2, 5, read, "placed")}},
		"cancelled twice":          {right: true, history: []porcupine.Operation{one(1, 2, cancelling, byCustomer), one(3, 4, cancelling, byCustomer)}},
		"a cancel without an answer, which came": {right: true, history: []porcupine.Operation{
			one(1, end, cancelling, noAnswer), one(2, 3, read, "placed"), one(4, 5, read, byCustomer)}},
		"a cancel without an answer, too late": {right: true, history: []porcupine.Operation{one(1, end, cancelling, noAnswer), one(2, 3, read, "confirmed")}},

		"confirmed, then placed":         {history: []porcupine.Operation{one(1, 2, read, "confirmed"), one(3, 4, read, "placed")}},
		"one client ahead of the other":  {history: []porcupine.Operation{one(1, 3, read, "awaiting_payment"), one(4, 6, read, "placed"), one(5, 7, read, "confirmed")}},
		"cancelled, then confirmed":      {history: []porcupine.Operation{one(1, 2, cancelling, byCustomer), one(3, 4, read, "confirmed")}},
		"cancelled after it was shipped": {history: []porcupine.Operation{one(1, 2, read, "confirmed"), one(3, 4, cancelling, byCustomer)}},
		"out of stock after all":         {history: []porcupine.Operation{one(1, 2, read, "awaiting_payment"), one(3, 4, read, "cancelled out_of_stock")}},
		"cancelled without a cancel":     {history: []porcupine.Operation{one(1, 2, read, byCustomer)}},
		"cancelled before it was called": {history: []porcupine.Operation{one(1, 2, read, byCustomer), one(3, end, cancelling, noAnswer)}},
		"another reason":                 {history: []porcupine.Operation{one(1, 2, read, "cancelled expired"), one(3, 4, cancelling, byCustomer)}},
	} {
		if got := porcupine.CheckOperations(orderModel, test.history); got != test.right {
			t.Errorf("%s: right is %t, want %t", name, got, test.right)
		}
	}
}

func TestStockModel(t *testing.T) {
	seen := func(onHand, restocked int64) shelf { return shelf{onHand: onHand, restocked: restocked} }
	sell := func(quantity int64) stockOp { return stockOp{what: sold, quantity: quantity} }
	refuse := func(quantity int64) stockOp { return stockOp{what: refused, quantity: quantity} }
	add := func(quantity int64) stockOp { return stockOp{what: restock, quantity: quantity} }
	borrow, release, look := stockOp{what: borrowed, quantity: 2}, stockOp{what: returned, quantity: 2},
		stockOp{what: read}
	for name, test := range map[string]struct {
		history []porcupine.Operation
		right   bool
	}{
		"sold, restocked, sold": {right: true, history: []porcupine.Operation{
			one(1, 2, sell(5), nil), one(3, 4, refuse(2), nil), one(5, 6, add(3), seen(4, 3)), one(7, 8, sell(4), nil),
			one(9, 10, look, seen(0, 3))}},
		"seen before its client knew": {right: true, history: []porcupine.Operation{one(1, 9, sell(2), nil), one(2, 3, look, seen(4, 0))}},
		"held for some time": {right: true, history: []porcupine.Operation{
			one(1, end, borrow, nil), one(1, end, release, nil), one(2, 3, look, seen(4, 0)),
			one(4, 5, look, seen(6, 0))}},
		"never held": {right: true, history: []porcupine.Operation{one(1, end, borrow, nil), one(1, end, release, nil), one(2, 3, look, seen(6, 0))}},

		"below zero":                     {history: []porcupine.Operation{one(1, 2, sell(4), nil), one(3, 4, sell(4), nil)}},
		"refused while there was plenty": {history: []porcupine.Operation{one(1, 2, look, seen(6, 0)), one(3, 4, refuse(1), nil)}},
		"a piece lost":                   {history: []porcupine.Operation{one(1, 2, sell(1), nil), one(3, 4, look, seen(4, 0))}},
		"sold and still there":           {history: []porcupine.Operation{one(1, 2, sell(1), nil), one(3, 4, look, seen(6, 0))}},
		"sold after it was seen":         {history: []porcupine.Operation{one(1, 2, look, seen(5, 0)), one(3, 4, sell(1), nil)}},
		"restocked twice":                {history: []porcupine.Operation{one(1, 2, add(3), seen(9, 3)), one(3, 4, look, seen(12, 6))}},
		"held by one that is over":       {history: []porcupine.Operation{one(1, 2, release, nil), one(3, end, borrow, nil), one(4, 5, look, seen(4, 0))}},
		"held for ever": {history: []porcupine.Operation{
			one(1, end, borrow, nil), one(1, 3, release, nil), one(4, 5, look, seen(4, 0))}},
	} {
		if got := porcupine.CheckOperations(stockModel, test.history); got != test.right {
			t.Errorf("%s: right is %t, want %t", name, got, test.right)
		}
	}
}
