package template

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
	"example.com/shop/cmd/gateway/routes"
)

// monolith is the upstream of that process in each of the façade's tables.
const monolith = "monolith"

// rerouted returns a table of the façade in which no route of the module leads to the monolith. A
// side that leads to it goes, or, if it is the only one, leads to the module's own process, which
// becomes an upstream. Everything else stays as it is written.
func rerouted(table, m string) (string, error) {
	want, err := routes.Parse([]byte(table))
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(want.Routes)) {
		route := want.Routes[name]
		side := slices.IndexFunc(route.Sides, func(s routes.Side) bool { return s.Upstream == monolith })
		if route.Module() != m {
			continue
		}
		if route.Shadow != nil && route.Shadow.Upstream == monolith {
			return "", fmt.Errorf("the shadow of route %s is the monolith", name)
		}
		if side < 0 {
			continue
		}
		if len(route.Sides) == 1 {
			route.Sides[0].Upstream = m
			if _, there := want.Upstreams[m]; !there {
				if want.Upstreams[m], err = beside(want.Upstreams, m); err != nil {
					return "", err
				}
				if table, err = withUpstream(table, m, want.Upstreams[m]); err != nil {
					return "", err
				}
			}
			if table, err = edited(table, name, 0, "upstream", m); err != nil {
				return "", err
			}
			continue
		}
		weight := route.Sides[side].Weight
		route.Sides = slices.Delete(route.Sides, side, side+1)
		if table, err = withoutSide(table, name, side); err != nil {
			return "", err
		}
		if weight > 0 {
			if len(route.Sides) > 1 {
				return "", fmt.Errorf("route %s gives the monolith a weight, and has more than one other side", name)
			}
			route.Sides[0].Weight = 100
			if table, err = edited(table, name, 0, "weight", "100"); err != nil {
				return "", err
			}
		}
		want.Routes[name] = route
	}
	if got, err := routes.Parse([]byte(table)); err != nil || !reflect.DeepEqual(got, want) {
		return "", errors.Join(errors.New("its lines are not as they were made"), err)
	}
	return table, nil
}

// sides returns the list of a route's sides.
func sides(table, route string) (*yaml.Node, error) {
	list, err := mapping(table, []string{"routes", route, "sides"})
	if err == nil && (list == nil || list.Kind != yaml.SequenceNode) {
		err = fmt.Errorf("route %s has no list of sides", route)
	}
	return list, err
}

// edited returns the table with another value of a side.
func edited(table, route string, side int, key, value string) (string, error) {
	list, err := sides(table, route)
	if err != nil {
		return "", err
	}
	return withScalar(table, below(list.Content[side], key), value)
}

// withoutSide returns the table without a side: its lines, or in a list on one line its braces.
func withoutSide(table, route string, side int) (string, error) {
	list, err := sides(table, route)
	if err != nil {
		return "", err
	}
	lines, item := strings.SplitAfter(table, "\n"), list.Content[side]
	if list.Style != yaml.FlowStyle {
		return strings.Join(slices.Delete(lines, item.Line-1, architecture.LastLine(item)), ""), nil
	}
	line := []rune(lines[item.Line-1])
	before, rest := string(line[:item.Column-1]), string(line[item.Column-1:])
	_, after, _ := strings.Cut(rest, "}")
	if side == 0 {
		after = strings.TrimLeft(after, ", ")
	} else {
		before = strings.TrimRight(before, ", ")
	}
	lines[item.Line-1] = before + after
	return strings.Join(lines, ""), nil
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

// withUpstream returns the table with an upstream more, at the end of them.
func withUpstream(table, m string, u routes.Upstream) (string, error) {
	list, err := mapping(table, []string{"upstreams"})
	if err != nil || list == nil {
		return "", errors.Join(errors.New("it has no upstreams"), err)
	}
	where := fmt.Sprintf("url: %q", u.URL)
	if u.Probe != "" {
		where += fmt.Sprintf(", probe: %q", u.Probe)
	}
	added := fmt.Sprintf("  %s: { %s }\n", m, where)
	if probe, err := url.Parse(u.Probe); err == nil && probe.Host != "" && probe.Hostname() != m {
		added = fmt.Sprintf("  # HTTP_ADDR=%s OPS_ADDR=%s bin/%s serve\n", u.Target().Host, probe.Host, m) + added
	}
	lines := strings.SplitAfter(table, "\n")
	return strings.Join(slices.Insert(lines, architecture.LastLine(list), added), ""), nil
}
