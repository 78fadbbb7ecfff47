package move

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// Recover settles a move whose coordinator died, hangs or failed, and says how. It ends that one's
// connections first, so that it cannot act any more. It may be run at any time, and again.
//
// It decides from the two rows alone:
//
//	one side is home           it stays that; the other becomes a standby that follows it
//	fencing                    the target was not opened: the source is the home again
//	opening, other is standby  the target was not opened, and its next epoch is used up, so that an
//	                           open which is still on its way fails: the source is the home again
//	opening, other unreachable only the other one knows: nothing may be written yet
func (m Move) Recover(ctx context.Context) (outcome string, err error) {
	for {
		// A writer may lift the fence meanwhile.
		if outcome, err = m.recoverOnce(ctx); !errors.Is(err, errLost) {
			return outcome, err
		}
	}
}

func (m Move) recoverOnce(ctx context.Context) (outcome string, err error) {
	sides, unreachable := m.reachable(ctx)
	defer sides[0].close()
	defer sides[1].close()
	if sides[0] != nil && sides[1] != nil { // a third database is left alone, and so is who moves to another
		if _, _, err := records(ctx, sides[0], sides[1]); err != nil {
			return "", err
		}
	}
	var rows [2]record
	for i, s := range sides {
		if s == nil {
			continue
		}
		if err := s.takeOver(ctx, m); err != nil {
			return "", err
		}
		if err := s.lock(ctx, m); err != nil {
			return "", err
		}
		if rows[i], err = s.record(ctx); err != nil {
			return "", err
		}
	}
	if sides[0] != nil && sides[1] != nil {
		if err := errors.Join(sides[0].names(rows[0], sides[1]), sides[1].names(rows[1], sides[0])); err != nil {
			return "", err
		}
	}
	for i, r := range rows {
		other := 1 - i
		switch {
		case r.state == atHome && rows[other].state == atHome:
			return "", fmt.Errorf("both %s and %s say that they are the home, which no step of a move does: "+
				"stop the module, and keep both", sides[i].address, sides[other].address)
		case r.state == atHome && sides[other] == nil:
			return "", fmt.Errorf("%s is at home in %s; the other side cannot be reached: recover again when it can: %w",
				m.Module, sides[i].address, unreachable)
		case r.state == atHome:
			return m.forward(ctx, sides[i], sides[other], r, rows[other])
		}
	}
	for i, r := range rows {
		if r.state == fencing || r.state == opening {
			return m.undo(ctx, sides[i], sides[1-i], r, rows[1-i], unreachable)
		}
	}
	if unreachable != nil {
		return "", fmt.Errorf("where the data is cannot be said without the other side: recover again when it can be reached: %w", unreachable)
	}
	for i, r := range rows {
		if r.state == "" { // which is a home, too
			return m.Module + " is at home in " + sides[i].address + ": there is nothing to settle", nil
		}
	}
	return "", fmt.Errorf("neither side is the home, which no step of a move leads to: %s %s, and %s %s: stop the module, and keep both",
		sides[0].address, rows[0], sides[1].address, rows[1])
}

// reachable connects to the sides that can be reached.
func (m Move) reachable(ctx context.Context) (sides [2]*side, err error) {
	for i, address := range []string{m.Source, m.Target} {
		s, failed := m.connect(ctx, address)
		if failed == nil {
			sides[i] = s
		}
		err = errors.Join(err, failed)
	}
	return sides, err
}

// forward makes the other side a standby that follows the home.
func (m Move) forward(ctx context.Context, home, other *side, at, there record) (string, error) {
	outcome := m.Module + " is at home in " + home.address
	switch there.state {
	case "":
		return outcome + ", and the other side has no copy", nil
	case fencing, opening:
		if there.epoch >= at.epoch {
			return "", fmt.Errorf("the side that was left, %s, %s, and the home %s: stop the module, and keep both", other.address, there, at)
		}
		if err := m.stepTo(ctx, "standby", func(ctx context.Context) error { return other.retire(ctx) }); err != nil {
			return "", err
		}
	}
	if err := other.withdraw(ctx); err != nil { // what was granted since
		return "", err
	}
	if there.epoch == 0 { // it has never been the home, and follows since the seed, if that has ended
		return outcome, m.unsubscribe(ctx, other, home)
	}
	return outcome + ", and the other side follows it", m.reverse(ctx, home, other)
}

// undo makes the side that was fenced the home again.
func (m Move) undo(ctx context.Context, fenced, other *side, at, there record, unreachable error) (string, error) {
	condition := "state = " + literal(at.state) + " AND " + owned(at.epoch, at.move)
	if at.state == opening {
		if other == nil {
			return "", fmt.Errorf("%s stays fenced: whether the other side was opened can only be read there, "+
				"and it cannot be reached; recover again when it can: %w", fenced.address, unreachable)
		}
		if there.state != standby {
			return "", fmt.Errorf("%s %s, and %s %s, which no step of a move leads to: stop the module, and keep both",
				fenced.address, at, other.address, there)
		}
		if err := lost(other.exec(ctx, change("epoch = "+next(at.epoch, 1), "state = 'standby'"))); err != nil {
			return "", err
		}
	}
	var back string
	err := fenced.QueryRow(ctx, "SELECT grants FROM home").Scan(&back)
	if err != nil {
		return "", err
	}
	err = lost(fenced.exec(ctx, change(fmt.Sprintf("state = 'home', epoch = %s, move = '%s', deadline = NULL",
		next(at.epoch, 2), uuid.New()), condition, "SELECT "+literal(back))))
	if err != nil {
		return "", err
	}
	outcome := fmt.Sprintf("%s is at home in %s again", m.Module, fenced.address)
	if other == nil {
		return outcome, nil
	}
	return outcome, m.unsubscribe(ctx, other, fenced)
}

func next(epoch, by int64) string { return strconv.FormatInt(epoch+by, 10) }
