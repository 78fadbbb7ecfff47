package move

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// prepare does what need not be done within the pause. The record of an earlier move says nothing
// of this one. Last it fences the source and opens the target, in a transaction each, which is not
// committed yet: so it has no effect, and ends with its connection.
func (a *attempt) prepare(ctx context.Context) error {
	if err := a.target.exec(ctx, a.recording("NULL")); err != nil {
		return err
	}
	if err := a.stepTo(ctx, "way-back slot", a.makeWayBack); err != nil {
		return err
	}
	for _, s := range a.all() { // once to no effect, because a connection is slower the first time
		if err := s.exec(ctx, fmt.Sprintf("SET statement_timeout = %d; SET idle_in_transaction_session_timeout = %d; ",
			slowLimit.Milliseconds(), (2*fenceLimit).Milliseconds())+fmt.Sprintf(inFlight, false)+"; "+lastValues+"; "+writable); err != nil {
			return err
		}
	}
	var err error
	if a.revokes, err = a.source.ask(ctx, revokes(false)); err != nil {
		return err
	}
	if err := a.stepTo(ctx, "calm", a.awaitCalm); err != nil {
		return err
	}
	// A writer can execute the statements that undo the fence, if the coordinator does not.
	grants, err := a.source.ask(ctx, "BEGIN; "+change(
		fmt.Sprintf("state = 'fencing', move = '%s', deadline = clock_timestamp() + interval '%d ms', grants = (%s)",
			a.id, fenceLimit.Milliseconds(), grants),
		"state = 'home' AND epoch = "+strconv.FormatInt(a.epoch, 10), revokes(true))+"; SELECT grants FROM home")
	if err == nil {
		err = a.target.exec(ctx, "BEGIN; "+change(
			fmt.Sprintf("state = 'home', epoch = %d, move = '%s', deadline = NULL", a.epoch+1, a.id),
			"state = 'standby' AND epoch = "+strconv.FormatInt(a.seen, 10), "SELECT "+literal(grants))+
			a.publishing(everything))
	}
	return lost(err)
}

// makeWayBack keeps, from before the first one, all writes on the target for the source. None that
// came from the source is among them: until the target is opened, its publication publishes none.
func (a *attempt) makeWayBack(ctx context.Context) error {
	err := a.target.exec(ctx, fmt.Sprintf("SET statement_timeout = %d; ", slotLimit.Milliseconds())+a.publishing(nothing))
	if err != nil {
		return err
	}
	return a.target.makeSlot(ctx)
}

// awaitCalm awaits a moment at which a row arrives soon, for this network, though not for long:
// bursts come and go.
func (a *attempt) awaitCalm(ctx context.Context) error {
	soon := max(calm, 2*a.best)
	for began, took := time.Now(), soon; took >= soon && time.Since(began) < calmLimit; {
		before := time.Now()
		if err := a.drain(ctx, a.source, a.target, 5*time.Second); err != nil {
			return err
		}
		took = time.Since(before)
	}
	return nil
}
