// Package routes reads and checks the façade's table: which process serves which share of which
// path. The gateway and seam route both use it, so they refuse the same mistakes.
package routes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/platform/process"
)

// File is a routes file.
type File struct {
	Upstreams map[string]Upstream `yaml:"upstreams" json:"upstreams"`
	Routes    map[string]Route    `yaml:"routes" json:"routes"`
}

// Upstream is a process that serves requests.
type Upstream struct {
	URL string `yaml:"url" json:"url"`
	// Probe is the URL of the readiness probe, if there is one. A route appends the module of its
	// prefix, as in /readyz/parcels.
	Probe string `yaml:"probe,omitempty" json:"probe,omitempty"`
}

// Route says how requests under a prefix are shared.
type Route struct {
	Prefix string `yaml:"prefix" json:"prefix"`
	// Sides share the requests; the last one is the new one.
	Sides  []Side  `yaml:"sides" json:"sides"`
	Shadow *Shadow `yaml:"shadow,omitempty" json:"shadow,omitempty"`
	// Resend says that a request with an Idempotency-Key may be sent twice, because its module keeps
	// the keys. Reads may be anyway, and nothing else.
	Resend bool `yaml:"resend,omitempty" json:"resend,omitempty"`
	// Internal are the parts of the route, as prefixes below its own, that the façade serves to the
	// shop's own processes alone, at GATEWAY_INTERNAL_ADDR.
	Internal []string `yaml:"internal,omitempty" json:"internal,omitempty"`
	// MaxBody is the largest body in bytes; 16 KiB, if it is 0.
	MaxBody int64 `yaml:"max_body,omitempty" json:"max_body,omitempty"`
}

// MaxBody is the most that a route may allow: bodies are kept while they arrive.
const MaxBody = 1 << 20

// Side is one upstream's part in a route.
type Side struct {
	Upstream string `yaml:"upstream" json:"upstream"`
	Weight   int    `yaml:"weight" json:"weight"` // percent
}

// Shadow sends copies of answered reads to an upstream and compares the answers.
type Shadow struct {
	Upstream string `yaml:"upstream" json:"upstream"`
	Percent  int    `yaml:"percent" json:"percent"`
	// Ignore has the JSON pointers that may differ; * is any one step, as in /items/*/created_at.
	Ignore []string `yaml:"ignore,omitempty" json:"ignore,omitempty"`
}

// Module returns the module that the prefix names, as in /v1/parcels, or "" if it names none.
func (r Route) Module() string {
	if parts := strings.Split(r.Prefix, "/"); len(parts) > 2 && url.PathEscape(parts[2]) == parts[2] {
		return parts[2]
	}
	return ""
}

// Weights returns the weights of the sides, as in monolith=90 parcels=10.
func (r Route) Weights() string {
	var sides []string
	for _, s := range r.Sides {
		sides = append(sides, fmt.Sprintf("%s=%d", s.Upstream, s.Weight))
	}
	return strings.Join(sides, " ")
}

// Weights returns the weights of all routes on one line.
func (f File) Weights() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(f.Routes)) {
		all = append(all, name+": "+f.Routes[name].Weights())
	}
	return strings.Join(all, ", ")
}

// Load reads and checks the routes file at a path.
func Load(path string) (File, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return File{}, err
	}
	file, err := Parse(data)
	if err != nil {
		return file, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Parse parses and checks a routes file. An unknown key is an error: a misspelt weight would be 0.
func Parse(data []byte) (File, error) {
	var file File
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return file, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // on one line
	}
	if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
		return file, errors.New("there is more than one document: what follows a second --- would not be read")
	}
	return file, file.check()
}

// check checks the file in the order of names, so that a file always has the same first error.
func (f File) check() error {
	if len(f.Routes) == 0 {
		return errors.New("there are no routes")
	}
	for _, name := range slices.Sorted(maps.Keys(f.Upstreams)) {
		if err := f.Upstreams[name].check(); err != nil {
			return fmt.Errorf("upstream %s: %w", name, err)
		}
	}
	prefixes := map[string]string{} // by prefix, the route that has it
	for _, name := range slices.Sorted(maps.Keys(f.Routes)) {
		route := f.Routes[name]
		if err := f.checkRoute(route); err != nil {
			return fmt.Errorf("route %s: %w", name, err)
		}
		for _, prefix := range append([]string{route.Prefix}, route.Internal...) {
			if other, taken := prefixes[prefix]; taken {
				return fmt.Errorf("routes %s and %s have the same prefix", other, name)
			}
			prefixes[prefix] = name
		}
	}
	return nil
}

// check allows no path in the URL: an upstream gets the client's path unchanged.
func (u Upstream) check() error {
	if target, err := process.BaseURL(u.URL); err != nil || target.Path != "" || target.User != nil {
		return errors.New("url must be like http://host:port, without a path")
	}
	if probe, err := process.BaseURL(cmp.Or(u.Probe, u.URL)); err != nil || probe.User != nil {
		return errors.New("probe must be like http://host:port/readyz")
	}
	return nil
}

// Target returns the upstream's URL. A checked file has no URL that cannot be parsed.
func (u Upstream) Target() *url.URL {
	target, _ := url.Parse(u.URL)
	return target
}

func (f File) checkRoute(r Route) error {
	if !strings.HasPrefix(r.Prefix, "/") || path.Clean(r.Prefix) != r.Prefix {
		return errors.New("prefix must be like /v1/MODULE, without a slash at the end")
	}
	for _, prefix := range r.Internal {
		if !strings.HasPrefix(prefix, r.Prefix+"/") || path.Clean(prefix) != prefix {
			return fmt.Errorf("internal must be below its prefix, as in %s/PART, without a slash at the end", r.Prefix)
		}
	}
	if len(r.Sides) == 0 {
		return errors.New("it has no sides")
	}
	if r.MaxBody < 0 || r.MaxBody > MaxBody {
		return fmt.Errorf("max_body must be between 1 and %d bytes", MaxBody)
	}
	total, seen := 0, map[string]bool{}
	for _, s := range r.Sides {
		switch _, known := f.Upstreams[s.Upstream]; {
		case !known:
			return fmt.Errorf("%q is not among the upstreams", s.Upstream)
		case seen[s.Upstream]:
			return fmt.Errorf("%s is there twice", s.Upstream)
		case s.Weight < 0:
			return fmt.Errorf("%s has a negative weight", s.Upstream)
		}
		seen[s.Upstream] = true
		total += s.Weight
	}
	if total != 100 {
		return fmt.Errorf("the weights add up to %d, not to 100", total)
	}
	return f.checkShadow(r.Shadow)
}

func (f File) checkShadow(s *Shadow) error {
	if s == nil {
		return nil
	}
	if _, known := f.Upstreams[s.Upstream]; !known {
		return fmt.Errorf("shadow: %q is not among the upstreams", s.Upstream)
	}
	if s.Percent < 0 || s.Percent > 100 {
		return errors.New("shadow: percent must be between 0 and 100")
	}
	for _, pointer := range s.Ignore {
		if _, err := path.Match(pointer, ""); err != nil || !strings.HasPrefix(pointer, "/") {
			return fmt.Errorf("shadow: %q is no JSON pointer like /items/*/created_at", pointer)
		}
	}
	return nil
}
