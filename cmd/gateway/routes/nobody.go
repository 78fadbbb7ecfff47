package routes

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
)

// unserved is what a process answers to the probe of a module that it does not serve, ready or not.
const unserved = 501

// ModuleProbe returns the URL of the module's readiness probe, "" if the upstream has none.
func (u Upstream) ModuleProbe(module string) string {
	if u.Probe == "" {
		return ""
	}
	probe, _ := url.JoinPath(u.Probe, module) // a checked URL
	return probe
}

// Answers are those of sides with a weight to the probes of their routes' modules.
type Answers []struct {
	Route, Upstream string
	Status          int // 0 for none, also without a probe
}

// Probe asks all sides with a weight, except those that had a weight before.
func (f File) Probe(before File, ask func(url string) (status int)) Answers {
	answers := Answers{}
	var probes []string
	for _, name := range slices.Sorted(maps.Keys(f.Routes)) {
		route, earlier := f.Routes[name], before.Routes[name].Sides
		for _, s := range route.Sides {
			upstream := f.Upstreams[s.Upstream]
			known := before.Upstreams[s.Upstream].URL == upstream.URL &&
				slices.ContainsFunc(earlier, func(e Side) bool { return e.Upstream == s.Upstream && e.Weight > 0 })
			if s.Weight > 0 && !known {
				answers = append(answers, Answers{{Route: name, Upstream: s.Upstream}}...)
				probes = append(probes, upstream.ModuleProbe(route.Module()))
			}
		}
	}
	var all sync.WaitGroup
	for i := range answers {
		if probes[i] != "" {
			all.Go(func() { answers[i].Status = ask(probes[i]) })
		}
	}
	all.Wait()
	return answers
}

// Unserved returns an error if a side does not serve its route's module. One that cannot be reached
// may serve it. With whole a route is right as long as another of its sides may serve it.
func (a Answers) Unserved(whole bool) error {
	for _, is := range a {
		other := false
		for _, o := range a {
			other = other || o.Route == is.Route && o.Status != unserved
		}
		if is.Status == unserved && (!whole || !other) {
			return fmt.Errorf("route %s leads to nobody: %s answers that it does not serve its module; "+
				"give the weight to a process that does, or start this one with the module", is.Route, is.Upstream)
		}
	}
	return nil
}
