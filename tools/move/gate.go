package move

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	gateLimit  = time.Minute            // how long the copy may take to follow closely
	drainLimit = time.Second            // how long the rest may take to arrive within the pause
	lagLimit   = 4 << 20                // bytes that the target may be behind
	rehearsals = 3                      // in a row, of the drain
	fastEnough = 150 * time.Millisecond // for a rehearsal
)

// follows says how closely the target follows.
type follows struct {
	Tables    int    `json:"tables"`     // in the source
	Ready     int    `json:"ready"`      // of them, copied and followed
	Bytes     int64  `json:"bytes"`      // of the tables, in the source
	CopyBytes int64  `json:"copy_bytes"` // copied of the tables that are under way now
	CopyRows  int64  `json:"copy_rows"`
	Lag       int64  `json:"lag_bytes"` // of the log that the target has not confirmed yet
	begun     bool   // the target has a subscription
	waits     string // for what; "" when the target follows closely
	failed    string // how often the subscription has failed, if ever
}

func (f follows) String() string {
	text := fmt.Sprintf("%d of %d tables, %s in all", f.Ready, f.Tables, Size(f.Bytes))
	if f.CopyRows > 0 {
		text += fmt.Sprintf(", %d rows (%s) of the next", f.CopyRows, Size(f.CopyBytes))
	}
	return text + ", " + Size(f.Lag) + " behind"
}

// Size says bytes in words.
func Size(bytes int64) string {
	if bytes < 10<<10 {
		return fmt.Sprintf("%d B", bytes)
	}
	if bytes < 10<<20 {
		return fmt.Sprintf("%d kB", bytes>>10)
	}
	return fmt.Sprintf("%d MB", bytes>>20)
}

// followed returns how closely the target follows, and an error if it will never do.
func (m Move) followed(ctx context.Context, source, target *side) (f follows, err error) {
	var here, there []string
	var slot, active, enabled bool
	var failures int64
	err = source.QueryRow(ctx, `SELECT coalesce(array_agg(relname::text ORDER BY relname::text), '{}'),
			coalesce(sum(pg_table_size(oid)), 0)::bigint FROM (`+dataTables+`) AS tables`).Scan(&here, &f.Bytes)
	if err != nil {
		return f, err
	}
	err = source.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_and(active), false),
			coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)), 0)::bigint
		FROM pg_replication_slots WHERE slot_name = $1`, source.stream).Scan(&slot, &active, &f.Lag)
	if err != nil {
		return f, err
	}
	err = target.QueryRow(ctx, `SELECT count(s.oid) > 0, coalesce(bool_and(s.subenabled), false),
			coalesce(array_agg(c.relname::text ORDER BY c.relname::text) FILTER (WHERE r.srsubstate = 'r'), '{}'),
			coalesce(max(e.apply_error_count + e.sync_error_count), 0)
		FROM pg_subscription AS s LEFT JOIN pg_stat_subscription_stats AS e ON e.subid = s.oid
		LEFT JOIN pg_subscription_rel AS r ON r.srsubid = s.oid LEFT JOIN pg_class AS c ON c.oid = r.srrelid
		WHERE s.subname = $1 AND s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())`,
		source.stream).Scan(&f.begun, &enabled, &there, &failures)
	if err != nil {
		return f, err
	}
	err = target.QueryRow(ctx, `SELECT coalesce(sum(bytes_processed), 0), coalesce(sum(tuples_processed), 0)
		FROM pg_stat_progress_copy WHERE datname = current_database() AND type = 'CALLBACK'`).Scan(&f.CopyBytes, &f.CopyRows)
	f.Tables, f.Ready = len(here), len(there)
	if failures > 0 {
		f.failed = fmt.Sprintf("; the subscription has failed %d times, which the log of the target's server explains", failures)
	}
	switch {
	case err != nil:
		return f, err
	case !slot:
		return f, errors.New("the slot that kept what the target has not got is gone: seam move finish drops the copy, and seed makes another")
	case !f.begun:
		f.waits = "it has no subscription"
	case !enabled:
		return f, fmt.Errorf("the subscription %[1]s on the target was disabled: ALTER SUBSCRIPTION %[1]s ENABLE", source.stream)
	case strings.Join(here, ", ") != strings.Join(there, ", "):
		f.waits = fmt.Sprintf("the tables [%s] are followed, of [%s]", strings.Join(there, ", "), strings.Join(here, ", ")) + f.failed
	case !active:
		f.waits = "the subscription does not run" + f.failed
	case f.Lag > lagLimit:
		f.waits = Size(f.Lag) + " behind"
	}
	return f, nil
}

// gate returns when the switch is sure to be short.
func (a *attempt) gate(ctx context.Context) (note string, err error) {
	m, source, target := a.Move, a.source, a.target
	a.best = fastEnough
	if err := m.check(ctx, source, target); err != nil {
		return "", err
	}
	if err := sameTables(ctx, source, target); err != nil {
		return "", err
	}
	if err := target.withdraw(ctx); err != nil { // what was granted there meanwhile, by whoever it was
		return "", err
	}
	if source.system != target.system { // which may have changed since the seed
		if err := m.copyPasswords(ctx, source, target); err != nil {
			return "", err
		}
	}
	if err := m.tryWayBack(ctx, source, target); err != nil {
		return "", fmt.Errorf("there would be no way back from %s, as %s cannot follow it: %w", target.address, source.address, err)
	}
	// Left by an attempt that has failed, it would send what the source knows already.
	if err := m.unsubscribe(ctx, target, source); err != nil {
		return "", err
	}
	until := time.Now().Add(gateLimit)
	for good := 0; ; {
		f, err := m.followed(ctx, source, target)
		if err != nil {
			return "", err
		}
		if !f.begun {
			return "", errors.New("the target does not follow: seam move status says what to do")
		}
		var took time.Duration
		if f.waits == "" {
			began := time.Now()
			if err := m.drain(ctx, source, target, 5*time.Second); err != nil {
				f.waits = err.Error()
			}
			took = time.Since(began)
			if a.best = min(a.best, took); took > fastEnough {
				f.waits = fmt.Sprintf("a row took %v to arrive", took.Round(time.Millisecond))
			}
		}
		if f.waits == "" {
			if good++; good == rehearsals {
				return fmt.Sprintf("a row arrives within %v", took.Round(time.Microsecond)), nil
			}
			continue
		}
		good = 0
		if time.Now().After(until) {
			return "", fmt.Errorf("the target does not follow closely enough after %v: %s", gateLimit, f.waits)
		}
		m.report("waiting", time.Until(until), f.waits)
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// tryWayBack lets the source connect to the target as it will have to, and leaves nothing of it.
func (m Move) tryWayBack(ctx context.Context, source, target *side) error {
	return source.exec(ctx, fmt.Sprintf("BEGIN; SET LOCAL "+reachLimit+"; CREATE SUBSCRIPTION %s CONNECTION %s PUBLICATION %s "+
		"WITH (create_slot = false, slot_name = NONE, enabled = false, copy_data = false); ROLLBACK",
		source.stream+"_trial", literal(target.conninfo), m.publication()))
}

// Rehearse does all that comes before a pause.
func (m Move) Rehearse(ctx context.Context) error {
	a, err := m.newAttempt(ctx)
	if err != nil {
		return err
	}
	defer a.close()
	if err := m.step(ctx, "gate", a.gate); err != nil {
		return err
	}
	return a.step(ctx, "in flight", a.longest)
}

// longest says what a fence would have to wait for.
func (a *attempt) longest(ctx context.Context) (string, error) {
	return a.source.ask(ctx, `SELECT 'the longest transaction takes ' ||
		coalesce(round(1000 * extract(epoch FROM max(clock_timestamp() - xact_start))), 0) || ' ms so far; after '
		|| `+literal(patience.String())+` || ' it is terminated' FROM pg_stat_activity
		WHERE usename = `+literal(a.runtime())+` AND datname = current_database() AND backend_xid IS NOT NULL`)
}

// drain returns when all that was committed on the source has arrived. It waits for a row that is
// written last: what the target has confirmed is reported late, and others write to the log, too.
func (m Move) drain(ctx context.Context, source, target *side, limit time.Duration) error {
	id := uuid.NewString()
	if err := source.exec(ctx, "DELETE FROM marker; INSERT INTO marker VALUES ("+literal(id)+")"); err != nil {
		return err
	}
	for until := time.Now().Add(limit); ; {
		arrived, err := target.ask(ctx, "SELECT count(*) FROM marker WHERE id = "+literal(id))
		if err != nil || arrived == "1" {
			return err
		}
		if time.Now().After(until) {
			return fmt.Errorf("what was written last did not arrive within %v", limit)
		}
		if err := pause(ctx, 500*time.Microsecond); err != nil {
			return err
		}
	}
}
