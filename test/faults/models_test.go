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

// The two models say which histories of clients a correct shop can give. Porcupine searches for an order of the operations, each
// somewhere between its call and its return, in which every answer is what the model would have said (linearizability).

// later is where the saga may have taken an order since it was last seen, by itself. What is not here is final.
var later = map[string][]string{
	"placed":           {"awaiting_payment", "confirmed", "cancelled out_of_stock", "cancelled declined", "cancelled expired"},
	"awaiting_payment": {"confirmed", "cancelled declined", "cancelled expired"},
}

// linear is the rule.
const linear = "what clients were answered does not contradict itself"

const (
	read             = "read"
	cancelling       = "cancel"
	byCustomer       = "cancelled customer"
	noAnswer         = "no answer"
	end        int64 = math.MaxInt64 // when an operation returns of which nobody knows when
)

// orderModel is one order. Its state is the status (and reason) that was seen last, for between two operations the order moves by
// itself; only a cancellation by its customer needs a cancel that somebody has called. A cancel without an answer may have come or not.
//
// It is weak where nobody looks: a step that no client saw, or a state that went back and forth between two reads, does not show.
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

// stocked is how many pieces a shelf of the history has at first.
const stocked = 6

// shelf is one product. Pieces that were taken are reserved or shipped; which of the two, the model does not follow.
type shelf struct {
	onHand, restocked int64
	held, over        uint64 // the cancelled orders that hold pieces, and those that never will
}

// maxBorrowed is how many cancelled orders a shelf has bits for.
const maxBorrowed = 64

// stockOp is something that a client did to a shelf, or that an order of a client did.
type stockOp struct {
	what     string
	quantity int64
	order    int // of the cancelled ones
}

// What an order did to its shelf, known once it has ended. A confirmed one has taken its pieces between the POST and the moment when its
// client saw it end, a refused one has found too few in that time. One that was cancelled for another reason may have held its pieces
// for some time, which may begin and end after its client saw the cancellation: two operations, open until the end of the run.
const (
	restock  = "restock"
	sold     = "sold"
	refused  = "refused"
	borrowed = "borrowed"
	returned = "returned"
)

// stockModel is one shelf, seen as the public sees it. It knows no lines: each order of the history has one product.
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

// check looks once more, at a shop that has settled, and has the whole history judged.
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

// judge asks porcupine, and shows a history that no correct shop can give, or for which a minute is too short to tell.
func (h *history) judge(t *testing.T, of string, model porcupine.Model, ops []porcupine.Operation) {
	t.Helper()
	verdict := porcupine.CheckOperationsTimeout(model, ops, time.Minute)
	if verdict == porcupine.Ok {
		return
	}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var told strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&told, "\n  %12s to %12s  %+v: %+v", time.Duration(op.Call), time.Duration(op.Return), op.Input, op.Output)
	}
	h.finds(linear, "the history of %s is %s:%s", of, verdict, &told)
}

// one is an operation of a written history, from call to back.
func one(call, back int64, input, output any) porcupine.Operation {
	return porcupine.Operation{Input: input, Call: call, Output: output, Return: back}
}

// The checker is only as good as the histories that it refuses.
func TestOrderModel(t *testing.T) {
	for name, test := range map[string]struct {
		history []porcupine.Operation
		right   bool
	}{
		"all the way": {right: true, history: []porcupine.Operation{
			one(1, 2, read, "placed"), one(3, 4, read, "awaiting_payment"), one(5, 6, read, "confirmed"), one(7, 8, cancelling, "confirmed")}},
		"a step that nobody saw": {right: true, history: []porcupine.Operation{one(1, 2, read, "placed"), one(3, 4, read, "cancelled declined")}},
		"two reads at once":      {right: true, history: []porcupine.Operation{one(1, 4, read, "confirmed"), one(2, 5, read, "placed")}},
		"cancelled twice":        {right: true, history: []porcupine.Operation{one(1, 2, cancelling, byCustomer), one(3, 4, cancelling, byCustomer)}},
		"a cancel without an answer, which came": {right: true, history: []porcupine.Operation{
			one(1, end, cancelling, noAnswer), one(2, 3, read, "placed"), one(4, 5, read, byCustomer)}},
		"a cancel without an answer, too late": {right: true, history: []porcupine.Operation{one(1, end, cancelling, noAnswer), one(2, 3, read, "confirmed")}},

		"confirmed, then placed":         {history: []porcupine.Operation{one(1, 2, read, "confirmed"), one(3, 4, read, "placed")}},
		"one client ahead of the other":  {history: []porcupine.Operation{one(1, 3, read, "awaiting_payment"), one(4, 6, read, "placed"), one(5, 7, read, "confirmed")}},
		"cancelled, then confirmed":      {history: []porcupine.Operation{one(1, 2, cancelling, byCustomer), one(3, 4, read, "confirmed")}},
		"cancelled after it was shipped": {history: []porcupine.Operation{one(1, 2, read, "confirmed"), one(3, 4, cancelling, byCustomer)}},
		"out of stock after all":         {history: []porcupine.Operation{one(1, 2, read, "awaiting_payment"), one(3, 4, read, "cancelled out_of_stock")}},
		"cancelled by nobody":            {history: []porcupine.Operation{one(1, 2, read, byCustomer)}},
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
	borrow, giveBack, look := stockOp{what: borrowed, quantity: 2}, stockOp{what: returned, quantity: 2}, stockOp{what: read}
	for name, test := range map[string]struct {
		history []porcupine.Operation
		right   bool
	}{
		"sold, restocked, sold": {right: true, history: []porcupine.Operation{
			one(1, 2, sell(5), nil), one(3, 4, refuse(2), nil), one(5, 6, add(3), seen(4, 3)), one(7, 8, sell(4), nil), one(9, 10, look, seen(0, 3))}},
		"seen before its client knew": {right: true, history: []porcupine.Operation{one(1, 9, sell(2), nil), one(2, 3, look, seen(4, 0))}},
		"held for some time": {right: true, history: []porcupine.Operation{
			one(1, end, borrow, nil), one(1, end, giveBack, nil), one(2, 3, look, seen(4, 0)), one(4, 5, look, seen(6, 0))}},
		"never held": {right: true, history: []porcupine.Operation{one(1, end, borrow, nil), one(1, end, giveBack, nil), one(2, 3, look, seen(6, 0))}},

		"below zero":                     {history: []porcupine.Operation{one(1, 2, sell(4), nil), one(3, 4, sell(4), nil)}},
		"refused while there was plenty": {history: []porcupine.Operation{one(1, 2, look, seen(6, 0)), one(3, 4, refuse(1), nil)}},
		"a piece lost":                   {history: []porcupine.Operation{one(1, 2, sell(1), nil), one(3, 4, look, seen(4, 0))}},
		"sold and still there":           {history: []porcupine.Operation{one(1, 2, sell(1), nil), one(3, 4, look, seen(6, 0))}},
		"sold after it was seen":         {history: []porcupine.Operation{one(1, 2, look, seen(5, 0)), one(3, 4, sell(1), nil)}},
		"restocked twice":                {history: []porcupine.Operation{one(1, 2, add(3), seen(9, 3)), one(3, 4, look, seen(12, 6))}},
		"held by one that is over":       {history: []porcupine.Operation{one(1, 2, giveBack, nil), one(3, end, borrow, nil), one(4, 5, look, seen(4, 0))}},
		"held for ever": {history: []porcupine.Operation{
			one(1, end, borrow, nil), one(1, 3, giveBack, nil), one(4, 5, look, seen(4, 0))}},
	} {
		if got := porcupine.CheckOperations(stockModel, test.history); got != test.right {
			t.Errorf("%s: right is %t, want %t", name, got, test.right)
		}
	}
}
