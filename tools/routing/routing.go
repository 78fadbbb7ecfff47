// Package routing changes who serves what in a running system, in three places that must agree: the
// sides' weights in the modules' schemas, the routes file, and the table of each façade.
//
//	check ──▶ schemas ──▶ file ──▶ façades
//
// A step that is interrupted leaves the later ones undone, and may be repeated.
package routing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/events"
	"example.com/shop/platform/process"
	"example.com/shop/platform/share"
)

// System says where the three places are.
type System struct {
	File    string            // the routes file
	Schemas map[string]string // by module, its runtime connection; "" if it is not known
	Facades []string          // their OPS_ADDR, as URLs
	Secret  string            // their GATEWAY_SECRET
}

// patience is how long one step may take, such as waiting for a module's batch of events.
const patience = 10 * time.Second

// Change edits the routes file, and has the schemas and the façades follow. A usage error means
// that nothing is changed; any other one says what is and what is not.
func (s System) Change(ctx context.Context, edit Edit) error {
	checked := false
	err := change(s.File, edit, func(n next) error {
		c := checkedChange{next: n}
		defer c.close()
		if err := c.check(ctx, s); err != nil {
			return fmt.Errorf("nothing is changed: %w", err)
		}
		checked = true
		return c.do(ctx, s)
	})
	if err != nil && !checked {
		return process.Usage(err)
	}
	return err
}

// checkedChange is a change with what it needs to do.
type checkedChange struct {
	next
	due    []schema // whose weights change
	unread []string // why others, whose routes stay as they were, could not be compared
}

type schema struct {
	*Schema
	weights []share.Weight
}

func (c *checkedChange) close() {
	for _, s := range c.due {
		s.Close()
	}
}

// check returns an error if a later step would fail, as far as that can be known.
func (c *checkedChange) check(ctx context.Context, s System) error {
	if s.Secret == "" {
		return errors.New("GATEWAY_SECRET is not set: give seam the same one as the façade")
	}
	before := c.from
	for _, facade := range slices.Backward(s.Facades) {
		page, err := Applied(ctx, facade)
		if err != nil {
			continue // the schemas and the file can follow without it
		}
		before = page.File()
	}
	if err := Probe(ctx, c.to, before).Unserved(false); err != nil {
		return err
	}
	for _, module := range slices.Sorted(maps.Keys(s.Schemas)) {
		route := Of(c.to, module)
		changes := route.Weights() != Of(c.from, module).Weights() || route.Weights() != Of(before, module).Weights()
		if err := c.checkSchema(ctx, s, module, route, changes); err != nil {
			return err
		}
	}
	return nil
}

// checkSchema finds out whether the module's weights change in its schema, and whether they may.
func (c *checkedChange) checkSchema(ctx context.Context, s System, module string, route routes.Route, changes bool) error {
	if s.Schemas[module] == "" && changes {
		return fmt.Errorf("%s is not set: the weights of %s are in its schema, too", setting(module), module)
	} else if len(route.Sides) == 0 || s.Schemas[module] == "" {
		return nil
	}
	weights := Shares(route)
	at, err := s.Open(ctx, module)
	switch {
	case err != nil && changes:
		return err
	case err != nil:
		c.unread = append(c.unread, err.Error())
		return nil
	case at.Bus == events.Memory && weighted(weights) > 1:
		err = fmt.Errorf("the bus of %s is %s, which reaches one process only: a canary needs nats: seam events bus nats first",
			module, at.Bus)
	case !at.Has(weights):
		c.due = append(c.due, schema{at, weights})
		return nil
	}
	at.Close()
	return err
}

// do sets the weights, replaces the file and tells the façades.
func (c *checkedChange) do(ctx context.Context, s System) error {
	for i, at := range c.due {
		if err := at.set(ctx, at.weights); err != nil {
			return fmt.Errorf("%w; %s, the routes file and the façades are as before: say it again", err, names(c.due[:i]))
		}
	}
	if err := c.replace(); err != nil {
		return fmt.Errorf("%w; the weights are in the schemas, the façades are as before: say it again", err)
	}
	wrong := make([]string, len(s.Facades))
	var all sync.WaitGroup
	for i, facade := range s.Facades { // at once: one that hangs must not hold up the others
		all.Go(func() {
			if err := put(ctx, facade, s.Secret, c.text); err != nil {
				wrong[i] = err.Error()
			}
		})
	}
	all.Wait()
	if wrong = slices.DeleteFunc(wrong, func(why string) bool { return why == "" }); len(wrong) > 0 {
		return fmt.Errorf("the weights are in the schemas and the routes are in %s, but not in each façade: %s; correct that, and seam "+
			"route apply does the rest", s.File, strings.Join(wrong, "; "))
	}
	if len(c.unread) > 0 {
		return fmt.Errorf("the routes have changed, but not every schema could be compared with them: %s; correct that, and seam "+
			"route apply does the rest", strings.Join(c.unread, "; "))
	}
	return nil
}

func names(done []schema) string {
	if len(done) == 0 {
		return "the other schemas"
	}
	var all []string
	for _, s := range done {
		all = append(all, s.Module)
	}
	return "set are the weights of " + strings.Join(all, ", ") + "; the other schemas"
}
