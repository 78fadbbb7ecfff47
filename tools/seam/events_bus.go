package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
	"example.com/shop/tools/topology"
)

const aboutEventsBus = `seam events bus                the bus of each schema: a process of another bus refuses to start
seam events bus nats|memory    records another one, and says what to do next
All schemas must have the same bus: a subscriber gets no events from another one.`

// leftBehind is how far before a switch from nats a replay begins: longer than a usual backlog.
const leftBehind = time.Hour

type recordedBus struct {
	Module string `json:"module"`
	Bus    string `json:"bus"` // "" before the first process started
	Was    string `json:"was"` // the bus before this call

	modules []string // those of the system, as far as the schema knows
}

func eventsBus(ctx context.Context, args []string) error {
	c := newCall("events bus")
	if err := c.read(aboutEventsBus, args, 1); err != nil {
		return err
	}
	next := ""
	if len(c.words) > 0 {
		next = c.words[0]
		if next != events.Memory && next != natsbus.Name {
			return process.Usage(fmt.Errorf("there is no bus %q; there are %s and %s", next, events.Memory, natsbus.Name))
		}
	}
	schemas, closeAll, err := c.open(ctx)
	defer closeAll()
	if len(schemas) == 0 || next != "" && err != nil { // all schemas change, or none
		return err
	}
	if next == events.Memory {
		buses, err := forEach(schemas, func(s schema) (recordedBus, error) { return s.bus(ctx, "") })
		if err != nil {
			return err
		}
		if err := unreached(ctx, buses); err != nil {
			return process.Usage(fmt.Errorf("nothing is changed: %w", err))
		}
	}
	buses, failed := forEach(schemas, func(s schema) (recordedBus, error) { return s.bus(ctx, next) })
	shown := c.show(buses, func(table *tabwriter.Writer) {
		for _, b := range buses {
			fmt.Fprintf(table, "%s\t%s\n", b.Module, describe(b))
		}
		if next != "" && failed == nil {
			fmt.Fprint(table, nextSteps(next, buses, time.Now(), c.Events.OutboxRetention))
		}
	})
	if apart := differ(buses); apart != nil {
		shown = both(shown, process.Usage(apart))
	}
	return both(both(err, failed), shown)
}

// bus reads the recorded bus, and records the next one unless that is "".
func (s schema) bus(ctx context.Context, next string) (recordedBus, error) {
	b := recordedBus{Module: s.module}
	if err := s.pool.QueryRow(ctx, "SELECT coalesce((SELECT name FROM bus), ''), coalesce((SELECT modules FROM bus), '{}')").
		Scan(&b.Was, &b.modules); err != nil {
		return b, fmt.Errorf("%s: read bus: %w", s.module, err)
	}
	b.Bus = b.Was
	if next != "" {
		if err := events.SwitchBus(ctx, s.pool, next); err != nil {
			return b, fmt.Errorf("%s: %w; run it again", s.module, err)
		}
		b.Bus = next
	}
	return b, nil
}

func describe(b recordedBus) string {
	switch {
	case b.Bus == "":
		return "none: the first process that starts will record its own"
	case b.Was == b.Bus:
		return b.Bus
	case b.Was == "":
		return b.Bus + " (was not recorded)"
	}
	return b.Bus + " (was " + b.Was + ")"
}

// differ returns an error if the modules are not on one bus, so that some get no events of others.
func differ(buses []recordedBus) error {
	var names []string
	for _, b := range buses {
		if b.Bus != "" && !slices.Contains(names, b.Bus) {
			names = append(names, b.Bus)
		}
	}
	if len(names) < 2 {
		return nil
	}
	return fmt.Errorf("the modules are on different buses (%s): record one for all, by seam events bus", strings.Join(names, ", "))
}

// nextSteps returns what the operator does after recording the bus.
//
// One by one is safe towards nats because a process on memory serves every module: what it marks as
// published, all subscribers have handled. And the stream keeps events for later ones.
func nextSteps(bus string, buses []recordedBus, now time.Time, kept time.Duration) string {
	var text strings.Builder
	if others := len(topology.Modules) - len(buses); others > 0 {
		fmt.Fprintf(&text, "\n%d modules were not asked: record %s in their schemas before you go on.\n", others, bus)
	}
	if bus == natsbus.Name {
		text.WriteString(`
Next, with the same version of everything:
  1. Have the durables made, unless you have: seam events provision
  2. Restart the processes one by one with BUS=nats, first one of all modules. None starts with BUS=memory from now on.
     Wait for each /readyz.
  3. Only when none is left on memory, run modules as processes of their own.
`)
		return text.String()
	}
	// From before the switch: nats still has what a subscriber had not acknowledged by then.
	since := now.Add(-min(leftBehind, kept/2)).UTC().Format(time.RFC3339)
	fmt.Fprintf(&text, `
Next, with the same version of everything:
  1. Restart the processes one by one with BUS=memory, serving every module: memory reaches no other process. None starts
     with BUS=nats from now on.
  2. Let the façade send everything to these, and stop the processes that serve only some modules.
  3. When none is left on nats, replay what was not delivered there, from before the switch:
       seam events replay --since %s
     Go back further if a subscriber had a backlog; too much does no harm.
`, since)
	return text.String()
}
