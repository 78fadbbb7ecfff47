package move

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Status says where a module's data is, how the other side follows, and what to do.
type Status struct {
	Module string   `json:"module"`
	Home   string   `json:"home"`           // the database; "" if neither can be written
	Sides  []Side   `json:"sides"`          // the two, or only the first if the other one is not known
	Copy   *follows `json:"copy,omitempty"` // how the other side follows the home
	Record string   `json:"record"`         // of the move that led to the home, for the ledger; "" if it is where it was first
	Says   string   `json:"says"`
	Do     string   `json:"do"`    // the next step; "" for none
	Wrong  []string `json:"wrong"` // what an operator must mend
}

// Side is one of the two databases.
type Side struct {
	Address  string `json:"address"`
	Error    string `json:"error,omitempty"` // why it cannot be reached
	State    string `json:"state"`           // home, fencing, opening, standby; "" if it has never moved
	Epoch    int64  `json:"epoch"`
	Writable bool   `json:"writable"`
	Kept     int64  `json:"kept_bytes"`             // of its log, for the other side
	Limit    string `json:"max_slot_wal_keep_size"` // which bounds that; -1 does not
}

// Status reads both sides, or the source if no target is named, and changes nothing.
func (m Move) Status(ctx context.Context) (s Status, err error) {
	if m.Target == "" {
		return m.statusOfSource(ctx)
	}
	sides, unreachable := m.reachable(ctx)
	defer sides[0].close()
	defer sides[1].close()
	s.Module, s.Sides = m.Module, make([]Side, 2)
	var records [2]record
	for i, side := range sides {
		s.Sides[i] = Side{Address: withoutLogin([2]string{m.Source, m.Target}[i]), Error: "it cannot be reached"}
		if side == nil {
			continue
		}
		var is Side
		r, err := side.record(ctx)
		if err == nil {
			is, err = side.describe(ctx, r)
		}
		if err != nil && side.IsClosed() && ctx.Err() == nil { // it was cut off meanwhile
			sides[i], unreachable = nil, errors.Join(unreachable, err)
			continue
		}
		if err != nil {
			return s, err
		}
		s.Sides[i], records[i] = is, r
		s.judge(is)
	}
	if unreachable != nil {
		s.Wrong = append(s.Wrong, unreachable.Error())
	}
	if moved := sides[1]; moved != nil && (records[1].state == atHome || records == [2]record{}) {
		if s.Record, err = Record(ctx, moved.Conn, m.Module); err != nil {
			return s, err
		}
	}
	for i, r := range records {
		if r.state == atHome {
			s.Home = s.Sides[i].Address
			if sides[1-i] != nil && records[1-i].state == standby {
				f, err := m.followed(ctx, sides[i], sides[1-i])
				if s.Copy = &f; err != nil {
					s.Wrong = append(s.Wrong, err.Error())
				}
			}
		}
	}
	s.explain(records, sides)
	if s.Says == "" && (sides[0] == nil || sides[1] == nil && !postgres.HasCode(unreachable, noDatabase)) { // which may be created
		s.Says = "Where the data is cannot be said: one side cannot be reached, and the other has no record."
	}
	if s.Says == "" {
		came, err := Record(ctx, sides[0].Conn, m.Module)
		if err != nil {
			return s, err
		}
		if s.Says, s.Do = "The data has never moved.", "seed"; came != "" {
			s.Says, s.Do = "The data is in "+s.Sides[0].Address+", where it came back to for good.", ""
		}
	}
	return s, nil
}

func (m Move) statusOfSource(ctx context.Context) (s Status, err error) {
	s.Module = m.Module
	source, err := m.connect(ctx, m.Source)
	if err != nil {
		return s, m.notThere(m.Source, err)
	}
	defer source.close()
	here := source.address
	gone, err := source.exists(ctx, "SELECT WHERE to_regclass('home') IS NULL")
	if gone {
		err = process.Usage(fmt.Errorf("%s has no table %s.home: the data has moved for good, or setup and migrate have not run there; --to ADMIN-URL of the other side says more", here, m.Module))
	}
	if err != nil {
		return s, err
	}
	r, err := source.record(ctx)
	if err != nil {
		return s, err
	}
	is, err := source.describe(ctx, r)
	if err != nil {
		return s, err
	}
	s.Sides = []Side{is}
	s.judge(is)
	switch r.state {
	case atHome:
		s.Home, s.Do, s.Says = here, "status", "The data is in "+here+"; --to ADMIN-URL of "+r.elsewhere+" says how the copy there follows."
	case "":
		s.Home = here
		if s.Record, err = Record(ctx, source.Conn, m.Module); s.Record == "" {
			s.Says, s.Do = "The data is in "+here+", and has never moved.", "seed"
		} else {
			s.Says = "The data is in " + here + " for good."
		}
	default:
		s.Do = "status"
		s.Says = "The data has left " + here + ", or is about to, for " + r.elsewhere + ": --to ADMIN-URL of that one says where it is."
	}
	return s, err
}

// judge notes what is wrong with who may write on a side.
func (s *Status) judge(side Side) {
	if !side.Writable && side.State == atHome {
		s.Wrong = append(s.Wrong, side.Address+" is the home, and the module may not write there: GRANT its role what seam setup does")
	}
	if side.Writable && (side.State == standby || side.State == opening) {
		s.Wrong = append(s.Wrong, side.Address+" can be written, and is not the home: seam move recover, or REVOKE what somebody granted")
	}
}

// explain says in words what the records mean.
func (s *Status) explain(records [2]record, sides [2]*side) {
	for i, r := range records {
		other := records[1-i]
		at, there := s.Sides[i].Address, s.Sides[1-i].Address
		switch {
		case r.state == fencing && other.state != atHome:
			s.Says = "A switch is under way, or its coordinator died: nothing can be written until its deadline, when a writer lifts the fence."
			if r.expired {
				s.Says = "A switch was begun, and its deadline is over: the next writer lifts the fence."
			}
			s.Do = "recover"
		case r.state == opening && sides[1-i] == nil:
			s.Says = "A switch is at its last step, or its coordinator died there: whether the data is in " + at + " or in " + there +
				" can only be read there, and it cannot be reached."
			s.Do = "recover"
		case r.state == opening && other.state != atHome:
			s.Says = "A switch is at its last step, or its coordinator died there: nothing can be written until it is settled."
			s.Do = "recover"
		case r.state == atHome && (other.state == fencing || other.state == opening):
			s.Says, s.Do = "The data is in "+at+" now; the side that was left does not know it yet.", "recover"
		case r.state == atHome && other.state == standby && s.Sides[1-i].Kept > 0:
			s.Says, s.Do = "The data is in "+at+"; a switch is under way, or its coordinator died before its end.", "recover"
		case r.state == atHome && other.state == standby && other.epoch == 0 && s.Copy != nil && s.Copy.waits == "":
			s.Says, s.Do = "The data is in "+at+", and the copy in "+there+" follows.", "switch"
		case r.state == atHome && other.state == standby && other.epoch == 0:
			s.Says, s.Do = "The data is in "+at+", and the copy in "+there+" is not complete yet.", "seed"
		case r.state == atHome && other.state == standby && s.Copy != nil && !s.Copy.begun:
			s.Says, s.Do = "The data is in "+at+"; "+there+" does not follow it yet.", "recover"
		case r.state == atHome && other.state == standby:
			s.Says = "The data is in " + at + "; " + there + " follows it, and is the way back."
			s.Do = [2]string{"switch or finish", "back or finish"}[i]
			if i == 1 && s.Record == "" {
				s.Says += " Nothing shows that no row was lost: the two sides were not compared, differed, or were moved by a release that kept no record. To go back and to switch again compares them."
				s.Do = "back"
			}
		case r.state == atHome && other.state == "" && sides[1-i] != nil:
			s.Says, s.Do = "The data is in "+at+", and "+there+" has no copy.", "seed or finish"
		case r.state == atHome && sides[1-i] == nil:
			s.Says = "The data is in " + at + "; the other side cannot be reached."
		case r.state == standby && other.state == "" && sides[1-i] != nil && r.epoch == 0 && i == 1:
			s.Says, s.Do = "The data is in "+there+"; a seed of "+at+" did not end.", "seed"
		case r.state == standby && other.state == "" && sides[1-i] != nil:
			s.Says = "The data is in " + there + ", and " + at + " is a copy that was given up. To use that database again, " + CleanUp(s.Module) + "."
		case r.state == standby && sides[1-i] == nil:
			s.Says = "The data is in " + there + ", which cannot be reached; " + at + " is the copy."
		}
	}
	if s.Says == "" && s.Record != "" {
		s.Says = "The data is in " + s.Sides[1].Address + " for good."
	}
	if records[0].state == atHome && records[1].state == atHome {
		s.Wrong = append(s.Wrong, "both sides say that they are the home, which no step of a move does: stop the module, and keep both")
	}
}

func (s *side) describe(ctx context.Context, r record) (d Side, err error) {
	d = Side{Address: s.address, State: r.state, Epoch: r.epoch}
	err = s.QueryRow(ctx, `SELECT (`+writable+`), current_setting('max_slot_wal_keep_size'), coalesce((
		SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint FROM pg_replication_slots WHERE slot_name = $1), 0)`,
		s.stream).Scan(&d.Writable, &d.Limit, &d.Kept)
	return d, err
}

// Other returns the admin connection to the database that this one's module follows, which it knows
// since the switch; "" without one.
func Other(ctx context.Context, admin, module string) (address string, err error) {
	ctx, cancel := context.WithTimeout(ctx, unanswered*answerLimit)
	defer cancel()
	conn, err := postgres.ConnectAdmin(ctx, admin)
	if err != nil {
		return "", Move{Module: module}.notThere(admin, err)
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, `SELECT subconninfo FROM pg_subscription JOIN pg_database AS d ON d.oid = subdbid
		WHERE datname = current_database() AND subname `+streamsOf(module)).Scan(&address)
	if errors.Is(err, pgx.ErrNoRows) || postgres.HasCode(err, refusedCode) {
		return "", nil
	}
	return address, err
}

// refusedCode is the SQLSTATE insufficient_privilege: connections are a superuser's to read.
const refusedCode = "42501"

func withoutLogin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" { // of keywords
		return "one side"
	}
	u.User, u.RawQuery = nil, ""
	return u.String()
}
