package architecture

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/cmd/gateway/routes"
)

// monolith is the program that serves all modules but those that have left it, and its upstream in
// the façade's tables.
const monolith = "monolith"

// mixedTable is the façade's table of deploy/compose.yaml, which has a façade once a module has
// left the monolith; mixedBegins is how it begins.
const (
	mixedTable  = "deploy/routes/monolith.yaml"
	mixedBegins = `# The façade's table of deploy/compose.yaml, since a module has left the monolith. The service operate there
# changes it while it runs, by seam route. deploy/routes.yaml explains the keys.
upstreams:
  monolith: { url: "http://monolith:8080", probe: "http://monolith:8081/readyz" }
routes:
`
)

// routeTables returns the façade's tables.
func (t Tree) routeTables() []string {
	return append(t.Match("deploy/routes.yaml"), t.Match("deploy/routes/*.yaml")...)
}

// complete adds the routes that a façade's table lacks, one for each module, and leaves the rest as
// it is. A route leads to the monolith if that is an upstream and the module has not left it, and
// else to an upstream of the module's name. What internal returns of a module is internal.
func complete(table string, modules, left []string, internal func(module string) []string) (string, error) {
	var file routes.File // it may have no routes yet
	var document yaml.Node
	if err := errors.Join(yaml.Unmarshal([]byte(table), &file), yaml.Unmarshal([]byte(table), &document)); err != nil {
		return "", err
	}
	lines := strings.SplitAfter(strings.TrimSuffix(table, "\n")+"\n", "\n")
	add := func(to, format string, args ...any) {
		for pair := range slices.Chunk(document.Content[0].Content, 2) { // key, value, key, value …
			if pair[0].Value == to {
				lines[LastLine(table, pair[1])-1] += fmt.Sprintf(format, args...)
			}
		}
	}
	var missing []string
	for _, m := range modules {
		leads := func(r routes.Route) bool { return r.Prefix == "/v1/"+m }
		if slices.ContainsFunc(slices.Collect(maps.Values(file.Routes)), leads) {
			continue
		}
		missing = append(missing, m)
		upstream := monolith
		if _, ok := file.Upstreams[upstream]; !ok || slices.Contains(left, m) {
			upstream = m
		}
		if _, ok := file.Upstreams[upstream]; !ok {
			add("upstreams", "  %[1]s: { url: \"http://%[1]s:8080\", probe: \"http://%[1]s:8081/readyz\" }\n", m)
		}
		inside := ""
		if prefixes := internal(m); len(prefixes) > 0 {
			inside = "    internal: [" + strings.Join(prefixes, ", ") + "]\n"
		}
		add("routes", "  %[1]s:\n    prefix: /v1/%[1]s\n%[3]s    sides: [{ upstream: %[2]s, weight: 100 }]\n", m, upstream, inside)
	}
	completed := strings.Join(lines, "")
	if _, err := routes.Parse([]byte(completed)); err != nil {
		return "", fmt.Errorf("no route leads to %s: add one by hand, because by itself %w", strings.Join(missing, ", "), err)
	}
	return completed, nil
}

// LastLine returns the line of a YAML page on which one of its nodes ends: the first line up to
// which the page has the same node in the same place.
func LastLine(page string, node *yaml.Node) int {
	lines := strings.SplitAfter(page, "\n")
	for last := deepest(node); last < len(lines); last++ {
		var beginning yaml.Node
		if yaml.Unmarshal([]byte(strings.Join(lines[:last], "")), &beginning) == nil && has(&beginning, node) {
			return last
		}
	}
	return len(lines)
}

// deepest returns the last line on which a part of a node begins.
func deepest(node *yaml.Node) int {
	line := node.Line
	for _, part := range node.Content {
		line = max(line, deepest(part))
	}
	return line
}

// has reports whether a node, or a part of it, is the same as another one of the same place.
func has(node, other *yaml.Node) bool {
	return same(node, other) || slices.ContainsFunc(node.Content, func(part *yaml.Node) bool { return has(part, other) })
}

func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Line == b.Line && a.Column == b.Column && a.Value == b.Value &&
		slices.EqualFunc(a.Content, b.Content, same)
}
