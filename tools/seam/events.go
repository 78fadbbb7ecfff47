package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutEvents = `seam events lag                    what waits in each module: unpublished events, retries, dead letters
seam events dead                   the dead letters, and their reasons
seam events redrive ID… | --all    retry dead letters
seam events replay --since 2h      replay the events that were written since then
seam events bus [memory|nats]      which bus the events travel on; with a name, record another one
seam events provision              make the stream and the durables on the broker
It asks the modules whose <MODULE>_DATABASE_URL is set, on their runtime roles. Each verb has a --help.`

// runEvents shows and changes the state of delivery, all of which is in the schemas.
func runEvents(ctx context.Context, args []string) error {
	verbs := map[string]func(context.Context, []string) error{
		"lag": eventsLag, "dead": eventsDead, "redrive": eventsRedrive, "replay": eventsReplay, "bus": eventsBus,
		"provision": eventsProvision,
	}
	return runVerb(ctx, "events", "lag, dead, redrive, replay, bus or provision", aboutEvents, verbs, args)
}

// runVerb runs the verb of a command that args begin with.
func runVerb(
	ctx context.Context, command, say, about string, verbs map[string]func(context.Context, []string) error, args []string,
) error {
	if len(args) > 0 && verbs[args[0]] != nil {
		return verbs[args[0]](ctx, args[1:])
	}
	if err := flags.Parse(flag.NewFlagSet(command, flag.ContinueOnError), about, args); err != nil {
		return err
	}
	return process.Usage(fmt.Errorf("say %s; seam %s --help explains them", say, command))
}

// operatorSettings are the settings of seam events and seam jobs, beside <MODULE>_DATABASE_URL, on
// the role <module>_rt. Modules without one are left out.
type operatorSettings struct {
	// The same as the processes': a replay reaches back as far as they keep events.
	Events events.Config
}

// operatorCall has the flags and settings that all verbs of seam events and seam jobs share.
type operatorCall struct {
	*flag.FlagSet
	json    bool
	modules string
	words   []string
	operatorSettings
}

func newCall(name string) *operatorCall {
	c := &operatorCall{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.BoolVar(&c.json, "json", false, "print JSON, an object for each module")
	c.StringVar(&c.modules, "module", "", "ask only these modules, separated by commas")
	return c
}

// read parses the flags, at most mostWords words, and the settings.
func (c *operatorCall) read(about string, args []string, mostWords int) (err error) {
	if c.words, err = flags.ParseAnywhere(c.FlagSet, about, args); err != nil {
		return err
	}
	if len(c.words) > mostWords {
		return process.Usage(fmt.Errorf("%q is more than seam %s takes; see its --help", c.words[mostWords], c.Name()))
	}
	c.operatorSettings, err = process.Config[operatorSettings]()
	return err
}

// readList is read for a verb that lists, with the flag --limit.
func (c *operatorCall) readList(about string, args []string) (limit int, err error) {
	c.IntVar(&limit, "limit", 20, "list at most so many of each module")
	if err := c.read(about, args, 0); err != nil {
		return 0, err
	}
	if limit < 1 {
		return 0, process.Usage(errors.New("--limit must be at least 1"))
	}
	return limit, nil
}

// selected returns the schemas to ask, not open yet, and prints those that are left out for lack of a
// setting.
func (c *operatorCall) selected() (selected []schema, err error) {
	wanted := topology.Modules
	if c.modules != "" {
		wanted = strings.Split(c.modules, ",")
	}
	var unset []string
	for _, m := range wanted {
		address, err := process.Value(setting(m))
		switch {
		case !slices.Contains(topology.Modules, m):
			return nil, process.Usage(fmt.Errorf("there is no module %q; there are %s", m, strings.Join(topology.Modules, ", ")))
		case err != nil:
			return nil, err
		case address == "":
			unset = append(unset, setting(m))
		case !slices.ContainsFunc(selected, func(s schema) bool { return s.module == m }):
			selected = append(selected, schema{module: m, address: address})
		}
	}
	switch {
	case len(unset) > 0 && (c.modules != "" || len(selected) == 0):
		return nil, process.Usage(fmt.Errorf("not set: %s; they name the modules' runtime connections, and seam up prints what sets them", strings.Join(unset, ", ")))
	case len(unset) > 0:
		fmt.Fprintf(os.Stderr, "Not asked, because not set: %s\n", strings.Join(unset, ", "))
	}
	return selected, nil
}

func setting(module string) string { return strings.ToUpper(module) + "_DATABASE_URL" }

// schema is a module's schema, on its runtime role.
type schema struct {
	module, address string
	pool            *pgxpool.Pool
}

// open connects to the selected modules. With an error it still returns those that can be reached,
// which is enough for a verb that only reads.
func (c *operatorCall) open(ctx context.Context) (schemas []schema, closeAll func(), err error) {
	closeAll = func() {
		for _, s := range schemas {
			s.pool.Close()
		}
	}
	selected, err := c.selected()
	if err != nil {
		return nil, closeAll, err
	}
	schemas, err = forEach(selected, func(s schema) (schema, error) {
		var err error
		s.pool, err = postgres.OpenAnyVersion(ctx, "seam "+c.Name(), s.module, s.address, 2)
		if dial, ok := errors.AsType[*net.OpError](err); ok && ctx.Err() == nil {
			err = dial // short, for each module may say so
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", setting(s.module), err)
		}
		return s, err
	})
	return schemas, closeAll, advised(err)
}

// advised adds to the error of a server that does not answer what to do.
func advised(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); !ok {
		return err
	}
	return fmt.Errorf("%w: start the server, or correct its address; seam up prints what sets it, anew at each start", err)
}

// report asks the selected modules, and prints the answers of those that can be reached.
func report[T any](
	ctx context.Context, c *operatorCall, ask func(schema) (T, error), write func(table *tabwriter.Writer, all []T),
) error {
	schemas, closeAll, unreachable := c.open(ctx)
	defer closeAll()
	if len(schemas) == 0 {
		return unreachable
	}
	all, err := forEach(schemas, ask)
	shown := c.show(all, func(table *tabwriter.Writer) { write(table, all) })
	return both(both(unreachable, err), shown)
}

// forEach calls ask for each, also after an error, and returns the answers and all errors.
func forEach[T, R any](all []T, ask func(T) (R, error)) ([]R, error) {
	answers := []R{} // in JSON, none are [] and not null
	var failed error
	for _, one := range all {
		answer, err := ask(one)
		if err != nil {
			failed = both(failed, err)
			continue
		}
		answers = append(answers, answer)
	}
	return answers, failed
}

// both joins two errors on one line.
func both(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}

// show prints the answers as JSON, or as the table that write fills, its cells separated by tabs.
func (c *operatorCall) show(answers any, write func(table *tabwriter.Writer)) error {
	if c.json {
		return json.NewEncoder(os.Stdout).Encode(answers)
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	write(table)
	return table.Flush()
}
