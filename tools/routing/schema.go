package routing

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/share"
)

// setting is the setting that has the module's runtime connection.
func setting(module string) string { return strings.ToUpper(module) + "_DATABASE_URL" }

// Of returns the route whose weights are the module's: of all of the module's routes, the one with
// the shortest prefix. It has no sides if there is none.
func Of(file routes.File, module string) (of routes.Route) {
	for _, r := range file.Routes {
		if r.Module() == module && (of.Prefix == "" || len(r.Prefix) < len(of.Prefix)) {
			of = r
		}
	}
	return of
}

// Shares returns the weights of a route as a schema has them.
func Shares(r routes.Route) (weights []share.Weight) {
	for _, s := range r.Sides {
		weights = append(weights, share.Weight{Side: s.Upstream, Weight: s.Weight})
	}
	return weights
}

func weighted(weights []share.Weight) (sides int) {
	for _, w := range weights {
		if w.Weight > 0 {
			sides++
		}
	}
	return sides
}

// Schema is a module's schema, with what it knew of the module's sides when it was opened.
type Schema struct {
	Module string
	Bus    string // "" while none is recorded
	Sides  []share.State
	pool   *pgxpool.Pool
}

// Open reads what the module's schema knows of its sides. Close it.
func (s System) Open(ctx context.Context, module string) (*Schema, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pool, err := postgres.OpenAnyVersion(ctx, "seam route", module, s.Schemas[module], 2)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting(module), err)
	}
	at := &Schema{Module: module, pool: pool}
	if err = pool.QueryRow(ctx, "SELECT coalesce((SELECT name FROM bus), '')").Scan(&at.Bus); err == nil {
		at.Sides, err = share.Read(ctx, pool)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("%s: %w", setting(module), err)
	}
	return at, nil
}

// Close closes its connections.
func (s *Schema) Close() { s.pool.Close() }

// Side returns what it knows of a side, which is silent if that is nothing.
func (s *Schema) Side(name string) share.State {
	for _, side := range s.Sides {
		if side.Side == name {
			return side
		}
	}
	return share.State{Side: name}
}

// Has reports whether these are its weights.
func (s *Schema) Has(weights []share.Weight) bool {
	wanted, has := map[string]int{}, map[string]int{}
	for _, w := range weights {
		wanted[w.Side] = w.Weight
	}
	for _, side := range s.Sides {
		if side.Weight != nil {
			has[side.Side] = *side.Weight
		}
	}
	return maps.Equal(wanted, has)
}

// Weights returns its weights, as in monolith=90 parcels=10; "" if none are set.
func (s *Schema) Weights() string {
	var sides []string
	for _, side := range s.Sides {
		if side.Weight != nil {
			sides = append(sides, fmt.Sprintf("%s=%d", side.Side, *side.Weight))
		}
	}
	return strings.Join(sides, " ")
}

func (s *Schema) set(ctx context.Context, weights []share.Weight) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := share.Set(ctx, s.pool, weights...); err != nil {
		return fmt.Errorf("the weights of %s are not set: %w", s.Module, err)
	}
	return nil
}
