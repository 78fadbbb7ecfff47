package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/move"
	"example.com/shop/tools/topology"
)

const aboutMove = `seam move NAME --to ADMIN-URL      do plan, seed and switch: the data moves while the module serves
seam move plan NAME --to …         what it would do, and what is in the way; changes nothing
seam move seed NAME --to …         copy the data, and keep the copy up to date; again after a migration of both sides
seam move rehearse NAME --to …     what the switch waits for, without it
seam move switch NAME --to …       make the copy the home: a pause of some milliseconds for writers
seam move back NAME                the same in the other direction, with all that was written meanwhile
seam move status NAME              where the data is, how the other side follows, and what to do; the line "moved" of the ledger
seam move recover NAME             settle a switch whose coordinator died; harmless at any time
seam move finish NAME --yes        drop the side that is not the home; without --yes say what that is
seam move finish NAME --gone --to … the same when that side is gone for good: no server answers there
DATABASE_URL is an admin connection to the database that the data was in first, and --to one to the other, which need not
be named while the data is there. Each server must reach the other under these addresses. Both need wal_level =
logical, and a superuser or, since PostgreSQL 16, a role with the rights that plan names; that one needs --to for back, too.
SEAM_ROLE_PREFIX is the roles' prefix; SEAM_ROLE_SECRET matters without a superuser, and on one server. The tables on the
target are made by the command NAME, or by the monolith, beside seam. Processes follow by themselves; set
<MODULE>_DATABASE_URL to the new home before finish, which the system of seam up cannot, so it brings its data back. Ctrl-C
in the pause undoes it, unless it comes in the last step: seam move status says which.`

// runMove moves a module's data to another database and back.
func runMove(ctx context.Context, args []string) (err error) {
	c := moveCall{FlagSet: flag.NewFlagSet("move", flag.ContinueOnError)}
	c.StringVar(&c.to, "to", "", "an admin connection to the other database, which need not exist yet")
	c.BoolVar(&c.json, "json", false, "print JSON (plan and status)")
	c.BoolVar(&c.yes, "yes", false, "drop it (finish)")
	c.BoolVar(&c.gone, "gone", false, "the side that is not the home is gone for good (finish)")
	words, err := flags.ParseAnywhere(c.FlagSet, aboutMove, args)
	if err != nil {
		return err
	}
	verbs := map[string]func(context.Context, move.Move) error{
		"plan": c.plan, "seed": c.seed, "rehearse": c.rehearse, "switch": c.change, "back": c.back,
		"status": c.status, "recover": c.settle, "finish": c.finish,
	}
	if len(words) == 1 && verbs[words[0]] != nil {
		return process.Usage(fmt.Errorf("say of which module, as in seam move %s %s", words[0], topology.Modules[0]))
	}
	do := c.all
	if len(words) == 2 {
		if do = verbs[words[0]]; do == nil {
			return process.Usage(fmt.Errorf("seam move has no verb %q; its --help lists them", words[0]))
		}
	}
	if len(words) != 1 && len(words) != 2 {
		return process.Usage(errors.New("say seam move NAME --to ADMIN-URL, or seam move VERB NAME; its --help lists the verbs"))
	}
	switch {
	case c.json && words[0] != "plan" && words[0] != "status":
		return process.Usage(errors.New("--json is for plan and status"))
	case (c.yes || c.gone) && words[0] != "finish":
		return process.Usage(errors.New("--yes and --gone are for finish"))
	}
	module := words[len(words)-1]
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = fmt.Errorf("interrupted: seam move status %s --to ADMIN-URL says where the data is, and what to do", module)
		}
	}()
	m, err := c.move(ctx, module)
	if err == nil && m.Target == "" && words[0] != "status" {
		err = process.Usage(errors.New("name the other database: --to ADMIN-URL; the one of DATABASE_URL does not say which it is"))
	}
	if err != nil {
		return err
	}
	return do(ctx, m)
}

// moveCall has the flags of seam move.
type moveCall struct {
	*flag.FlagSet
	to              string
	json, yes, gone bool
	last            string // what was printed of a step under way
}

// move returns the move of a module, without a target if neither --to nor the first database names it.
func (c *moveCall) move(ctx context.Context, module string) (m move.Move, err error) {
	if !slices.Contains(topology.Modules, module) {
		return m, process.Usage(fmt.Errorf("there is no module %q; there are %s", module, strings.Join(topology.Modules, ", ")))
	}
	s, err := readSettings()
	if err != nil {
		return m, err
	}
	if s.DatabaseURL == "" {
		return m, process.Usage(errors.New("seam move needs DATABASE_URL, an admin connection to the database that the data was in first"))
	}
	to := c.to
	if to == "" {
		if to, err = move.Other(ctx, s.DatabaseURL, module); err != nil {
			return m, err
		}
	}
	return move.Move{
		Module: module, Source: s.DatabaseURL, Target: to, Migrate: migrateWith(module), Report: c.print,
		Roles: postgres.Plan{Prefix: s.RolePrefix, Secret: roleSecret(s)},
	}, nil
}

// roleSecret returns that of seam setup, or of the system of seam up, or else any: another server's
// roles get the passwords that they have on the first one.
func roleSecret(s settings) string {
	kept, _ := os.ReadFile(filepath.Join(s.State, topology.RoleSecret)) //nolint:gosec // our own; there may be none
	return cmp.Or(s.RoleSecret, strings.TrimSpace(string(kept)), rand.Text())
}

// migrateWith returns a function that makes the module's tables with the command that serves it.
func migrateWith(module string) func(context.Context, string) error {
	return func(ctx context.Context, url string) error {
		me, err := os.Executable()
		if err != nil {
			return err
		}
		program := filepath.Join(filepath.Dir(me), module)
		if _, err := os.Stat(program); err != nil {
			program = filepath.Join(filepath.Dir(me), "monolith")
		}
		command := exec.CommandContext(ctx, program, "migrate") //nolint:gosec // built with seam
		command.Env = append(os.Environ(), "MODULES="+module, strings.ToUpper(module)+"_MIGRATE_URL="+url)
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%s migrate: %w: %s", filepath.Base(program), err, said)
		}
		return nil
	}
}

// print prints a step that has ended, or how far a long one is.
func (c *moveCall) print(s move.Step) {
	if s.Name+s.Note == c.last {
		return
	}
	c.last = s.Name + s.Note
	fmt.Printf("  %-14s %10s  %s\n", s.Name, fmt.Sprintf("%.1f ms", float64(s.Took.Microseconds())/1000), s.Note)
}

func (c *moveCall) all(ctx context.Context, m move.Move) error {
	if err := c.plan(ctx, m); err != nil {
		return err
	}
	if err := m.Seed(ctx); err != nil {
		return err
	}
	return c.change(ctx, m)
}

func (c *moveCall) plan(ctx context.Context, m move.Move) error {
	p, err := m.Plan(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(p), p.Err())
	}
	fmt.Printf("%s: %d tables with %s, from %s to %s\n", p.Module, len(p.Tables), move.Size(p.Bytes), p.Source, p.Target)
	for _, t := range p.Tables {
		fmt.Printf("  %-24s %12d rows, about  %10s\n", t.Name, t.Rows, move.Size(t.Bytes))
	}
	switch {
	case p.Seeded:
		fmt.Println("The target has the copy already.")
	case !p.Exists:
		fmt.Println("The target's database will be created.")
	}
	if p.SameServer {
		fmt.Println("Both are on one server, and share the roles.")
	}
	for _, r := range p.Refusals {
		fmt.Println("In the way:", r)
	}
	if len(p.Refusals) > 0 {
		return process.Usage(errors.New("something is in the way; each line says what to do"))
	}
	fmt.Println("Nothing is in the way.")
	return nil
}

func (c *moveCall) seed(ctx context.Context, m move.Move) error {
	err := m.Seed(ctx)
	if err == nil {
		fmt.Printf("The copy is complete, and follows. Next: seam move switch %s --to ADMIN-URL\n", m.Module)
	}
	return err
}

func (c *moveCall) rehearse(ctx context.Context, m move.Move) error { return m.Rehearse(ctx) }

func (c *moveCall) change(ctx context.Context, m move.Move) error {
	done, err := c.switched(ctx, m)
	if err == nil {
		printRecord(done.Record)
	}
	return err
}

func (c *moveCall) back(ctx context.Context, m move.Move) error {
	_, err := c.switched(ctx, m.Back())
	return err
}

func (c *moveCall) switched(ctx context.Context, m move.Move) (done move.Switched, err error) {
	if done, err = m.Switch(ctx); err == nil {
		fmt.Printf("%s has moved, with a pause of %v; all rows were the same on both sides.\n"+
			"The side that was left follows, and is the way back. Next: seam move status %[1]s --to ADMIN-URL\n",
			m.Module, done.Pause.Round(100*time.Microsecond))
	}
	return done, err
}

func (c *moveCall) status(ctx context.Context, m move.Move) error {
	s, err := m.Status(ctx)
	if err != nil {
		return err
	}
	if s.Do == "back or finish" && keptByUp(m) != nil {
		s.Do = "back"
	}
	var wrong error
	if len(s.Wrong) > 0 {
		wrong = errors.New(strings.Join(s.Wrong, "; "))
	}
	if c.json {
		return errors.Join(json.NewEncoder(os.Stdout).Encode(s), wrong)
	}
	fmt.Printf("%s: %s\n", s.Module, s.Says)
	for _, side := range s.Sides {
		if side.Error != "" {
			fmt.Printf("  %s: %s\n", side.Address, side.Error)
			continue
		}
		kept := ""
		if side.Kept > 0 {
			kept = fmt.Sprintf(", keeps %s of its log for the other side (max_slot_wal_keep_size %s)", move.Size(side.Kept), side.Limit)
		}
		fmt.Printf("  %s: %s, epoch %d, writable: %v%s\n", side.Address, cmp.Or(side.State, "no record"), side.Epoch, side.Writable, kept)
	}
	if s.Copy != nil {
		fmt.Printf("  the copy: %s\n", s.Copy)
	}
	printRecord(s.Record)
	if s.Do != "" {
		fmt.Println("Next:", next(s))
	}
	return wrong
}

// next names the commands that a status recommends.
func next(s move.Status) string {
	verbs := strings.Split(s.Do, " or ")
	for i, verb := range verbs {
		verbs[i] = "seam move " + verb + " " + s.Module + " --to ADMIN-URL"
	}
	return strings.Join(verbs, ", or ")
}

func (c *moveCall) settle(ctx context.Context, m move.Move) error {
	outcome, err := m.Recover(ctx)
	if outcome != "" {
		fmt.Println(outcome)
	}
	return err
}
