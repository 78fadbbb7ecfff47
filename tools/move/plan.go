package move

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Plan says what a move would do, and why it cannot.
type Plan struct {
	Module     string    `json:"module"`
	Source     string    `json:"source"`
	Target     string    `json:"target"`
	SameServer bool      `json:"same_server"`
	Exists     bool      `json:"target_exists"` // the target's database; it is created otherwise
	Seeded     bool      `json:"seeded"`        // it has the copy already
	Tables     []Table   `json:"tables"`
	Bytes      int64     `json:"bytes"`
	Refusals   []Refusal `json:"refusals"`
	provided   bool      // the target has the module's roles and schema from seam setup, which no other may change
}

// Table is one whose rows move.
type Table struct {
	Name  string `json:"name"`
	Rows  int64  `json:"rows"` // an estimate
	Bytes int64  `json:"bytes"`
}

// Refusal is a reason against a move, with the way out.
type Refusal struct {
	Where string `json:"where"` // a database
	What  string `json:"what"`
	Fix   string `json:"fix"`
}

func (r Refusal) String() string { return r.Where + ": " + r.What + ": " + r.Fix }

// Err is a usage error that names the refusals; nil without any.
func (p Plan) Err() error { return refused(p.Refusals) }

func refused(all []Refusal) error {
	if len(all) == 0 {
		return nil
	}
	var text []string
	for _, r := range all {
		text = append(text, r.String())
	}
	return process.Usage(errors.New(strings.Join(text, "; ")))
}

// Plan looks at both sides, and changes nothing.
func (m Move) Plan(ctx context.Context) (p Plan, err error) {
	source, err := m.connect(ctx, m.Source)
	if err != nil {
		return p, m.notThere(m.Source, err)
	}
	defer source.close()
	target, err := m.connect(ctx, m.Target)
	if p.Exists = !postgres.HasCode(err, noDatabase); !p.Exists {
		target, err = m.connect(ctx, postgres.WithDatabase(m.Target, "postgres"))
	}
	if err != nil {
		return p, m.notThere(m.Target, err)
	}
	defer target.close()
	p.Module, p.Source, p.Target, p.SameServer = m.Module, source.address, target.address, source.system == target.system
	if p.Tables, err = source.tables(ctx); err != nil {
		return p, err
	}
	for _, t := range p.Tables {
		p.Bytes += t.Bytes
	}
	if cfg := target.Config().Database; !p.Exists && cfg == "postgres" {
		p.Target = strings.TrimSuffix(p.Target, cfg) + databaseOf(m.Target)
	}
	if err := m.judgeSource(ctx, &p, source); err != nil {
		return p, err
	}
	if p.Exists {
		if err := m.judgeTarget(ctx, &p, source, target); err != nil {
			return p, err
		}
	}
	if err := m.missingRights(ctx, &p, source, target); err != nil {
		return p, err
	}
	found, err := m.refusals(ctx, source, target, 2)
	p.Refusals = append(p.Refusals, found...)
	return p, err
}

func databaseOf(address string) string {
	path, _, _ := strings.Cut(address, "?")
	return path[strings.LastIndex(path, "/")+1:]
}

func (s *side) tables(ctx context.Context) ([]Table, error) {
	rows, _ := s.Query(ctx, `SELECT t.relname, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE -- never analysed
			(xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', c.oid::regclass), false, true, '')))[1]::text::bigint END, pg_total_relation_size(c.oid)
		FROM (`+dataTables+`) AS t JOIN pg_class AS c USING (oid) ORDER BY 3 DESC, 1`)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Table]) // and the query's error
}

// judgeSource refuses a source that is not the home, or that moves to another target.
func (m Move) judgeSource(ctx context.Context, p *Plan, source *side) error {
	here, err := source.record(ctx)
	refuse := func(what, fix string) { p.Refusals = append(p.Refusals, Refusal{source.address, what, fix}) }
	switch {
	case p.Source == p.Target: // which is said
	case here.state != "" && here.state != atHome:
		refuse(m.Module+" is not at home here", "seam move status says where it is, and what to do")
	case here.elsewhere != "" && here.elsewhere != p.Target:
		refuse(m.Module+" moves between this database and "+here.elsewhere+" already", "seam move finish "+m.Module+" --to ADMIN-URL of that one ends it")
	}
	return err
}

// judgeTarget refuses a target that has something of the module which no seed has put there.
func (m Move) judgeTarget(ctx context.Context, p *Plan, source, target *side) error {
	here, err := source.record(ctx)
	there, err2 := target.record(ctx)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	refuse := func(s *side, what, fix string) { p.Refusals = append(p.Refusals, Refusal{s.address, what, fix}) }
	p.Seeded = there.state == standby && there.elsewhere == source.address && here.elsewhere == target.address
	if target.is(source) {
		refuse(target, "it is the same database", "name another one")
		return nil
	}
	if p.Seeded || there.state == standby && there.elsewhere == source.address {
		return nil
	}
	full, err := target.hasRows(ctx)
	begun, err2 := target.exists(ctx, "SELECT FROM pg_publication WHERE pubname = $1", m.publication())
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	interrupted := begun && there.state == "" // a seed, which has left what migrations insert
	if full && !interrupted {
		refuse(target, "it has a schema "+m.Module+" with rows", "name another database; if the module is at home there, seam move status says so")
	}
	if p.SameServer && !m.hasPassword(ctx, m.Source) {
		refuse(target, "it is on the server of the source, so the two share the role "+m.runtime()+
			", which has another password than the one that was given", "set what seam setup had")
	}
	return err
}

// hasRows reports whether one of the tables that are copied has a row.
func (s *side) hasRows(ctx context.Context) (some bool, err error) {
	var query string
	err = s.QueryRow(ctx, `SELECT coalesce(string_agg(format('EXISTS (SELECT FROM %I.%I)', current_schema(), relname), ' OR '), 'false')
		FROM (`+dataTables+") AS tables").Scan(&query)
	if err == nil {
		err = s.QueryRow(ctx, "SELECT "+query).Scan(&some)
	}
	return some, err
}

// sameTables refuses tables and columns that are not the same on both sides. A table that only one
// of them has would stop the replication; of one that was made on both and not added to it, rows
// would be missing without an error.
func sameTables(ctx context.Context, source, target *side) error {
	var parts [2][]string
	err := onBoth([2]*side{source, target}, func(i int, s *side) error {
		return s.QueryRow(ctx, `SELECT coalesce(array_agg(part ORDER BY part), '{}') FROM (
			SELECT t.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
				|| CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END || CASE WHEN a.attgenerated <> '' THEN ' GENERATED' ELSE '' END
			FROM (`+dataTables+`) AS t JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT 'the sequence ' || sequencename FROM pg_sequences WHERE schemaname = current_schema()
			UNION ALL SELECT 'migration ' || version_id || ' of the platform' FROM platform_version WHERE is_applied
			UNION ALL SELECT 'migration ' || version_id || ' of the module' FROM module_version WHERE is_applied) AS parts (part)`).Scan(&parts[i])
	})
	if err != nil {
		return err
	}
	var differ []string
	for i, s := range []*side{source, target} {
		for _, c := range parts[i] {
			if !slices.Contains(parts[1-i], c) {
				differ = append(differ, c+" is only in "+s.address)
			}
		}
	}
	if len(differ) > 0 {
		return process.Usage(fmt.Errorf("the two sides have not the same schema: %s: migrate both, the target first, "+
			"but the source first if the migration drops something; or drop what no migration makes", list(differ)))
	}
	return nil
}
