package template

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/tools/routing"
)

// monolith is the upstream of that process in each of the façade's tables.
const monolith = "monolith"

// rerouted returns a table of the façade in which no route of the module leads to the monolith. A
// side that leads to it goes, or, if it is the only one, makes room for the module's own process,
// which becomes an upstream. Everything else stays as it is written.
func rerouted(table, m string) (string, error) {
	file, err := routes.Parse([]byte(table))
	if err != nil {
		return "", err
	}
	apply := func(edit routing.Edit) {
		var next []byte
		if err == nil {
			next, err = edit("", []byte(table))
			table = string(next)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(file.Routes)) {
		route := file.Routes[name]
		side := slices.IndexFunc(route.Sides, func(s routes.Side) bool { return s.Upstream == monolith })
		switch {
		case route.Module() != m:
			continue
		case route.Shadow != nil && route.Shadow.Upstream == monolith:
			return "", fmt.Errorf("the shadow of route %s is the monolith", name)
		case side < 0:
			continue
		case len(route.Sides) > 2 && route.Sides[side].Weight > 0:
			return "", fmt.Errorf("route %s gives the monolith a weight, and has more than one other side", name)
		}
		if len(route.Sides) == 1 {
			own, there := file.Upstreams[m]
			if !there {
				if own, err = beside(file.Upstreams, m); err != nil {
					return "", err
				}
				file.Upstreams[m] = own
			}
			apply(routing.AddSide(name, m, own))
			apply(routing.Weights(name, map[string]int{monolith: 0, m: 100}))
			if probe, err := url.Parse(own.Probe); err == nil && !there && probe.Host != "" && probe.Hostname() != m {
				entry := fmt.Sprintf("\n  %s: { url:", m)
				table = strings.Replace(table, entry, fmt.Sprintf("\n  # HTTP_ADDR=%s OPS_ADDR=%s bin/%s serve", own.Target().Host, probe.Host, m)+entry, 1)
			}
		}
		if len(route.Sides) == 2 {
			apply(routing.Weights(name, map[string]int{monolith: 0, route.Sides[1-side].Upstream: 100}))
		}
		if apply(routing.DropSide(name, monolith)); err != nil {
			return "", err
		}
	}
	return table, nil
}

// beside returns where the process of a module that has left the monolith runs: at a name of its
// own where the monolith has one, and else at the next port of the same machine, with its probe as
// far from it as the monolith's.
func beside(upstreams map[string]routes.Upstream, m string) (routes.Upstream, error) {
	used := map[int]bool{}
	port := func(address string) int {
		at, _ := url.Parse(address) // of a table that is checked
		n, _ := strconv.Atoi(at.Port())
		return n
	}
	for _, u := range upstreams {
		used[port(u.URL)], used[port(u.Probe)] = true, true
	}
	of := upstreams[monolith]
	if of.Target().Hostname() == monolith {
		own := func(address string) string { return strings.Replace(address, "//"+monolith, "//"+m, 1) }
		return routes.Upstream{URL: own(of.URL), Probe: own(of.Probe)}, nil
	}
	from, probe := port(of.URL), port(of.Probe)
	if from == 0 {
		return of, fmt.Errorf("the %s's url has no port", monolith)
	}
	to := from
	for used[to] || probe > 0 && used[to-from+probe] {
		to++
	}
	moved := func(address string, from, to int) string {
		return strings.Replace(address, fmt.Sprintf(":%d", from), fmt.Sprintf(":%d", to), 1)
	}
	return routes.Upstream{URL: moved(of.URL, from, to), Probe: moved(of.Probe, probe, to-from+probe)}, nil
}
