package routing

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
	"example.com/shop/cmd/gateway/routes"
)

// AddSide adds an upstream to a route as its last side, with weight 0. As each edit of the text does,
// it leaves other lines as they are, with comments and layout.
func AddSide(route, name string, upstream routes.Upstream) Edit {
	return func(_ string, present []byte) ([]byte, error) {
		return editSides(present, route, func(file *routes.File, l *lines, upstreams, sides *yaml.Node) error {
			r := file.Routes[route]
			if slices.ContainsFunc(r.Sides, func(s routes.Side) bool { return s.Upstream == name }) {
				return fmt.Errorf("%s is a side of %s already", name, route)
			}
			side := routes.Side{Upstream: name}
			r.Sides = append(r.Sides, side)
			file.Routes[route] = r
			added, last := fmt.Sprintf("{ upstream: %q, weight: 0 }", name), sides.Content[len(sides.Content)-1]
			if sides.Style == yaml.FlowStyle {
				before, braces, after := l.around(last)
				l.now[last.Line-1] = before + braces + ", " + added + after
			} else {
				l.insert(l.end(last), last.Column-len("- "), "- %s", added)
			}
			if known, ok := file.Upstreams[name]; ok && known != upstream {
				return fmt.Errorf("%s is an upstream already, at %s", name, known.URL)
			} else if !ok {
				file.Upstreams[name] = upstream
				probe := ""
				if upstream.Probe != "" {
					probe = fmt.Sprintf(", probe: %q", upstream.Probe)
				}
				key, value := upstreams.Content[len(upstreams.Content)-2], upstreams.Content[len(upstreams.Content)-1]
				l.insert(l.end(value), key.Column, "%s: { url: %q%s }", name, upstream.URL, probe)
			}
			return nil
		})
	}
}

// RemoveSide removes a side without weight from a route, and its upstream if nothing else names it.
func RemoveSide(route, name string) Edit {
	return func(path string, present []byte) ([]byte, error) {
		next, err := DropSide(route, name)(path, present)
		if err != nil {
			return nil, err
		}
		return editSides(next, route, func(file *routes.File, l *lines, upstreams, _ *yaml.Node) error {
			if used(*file, name) {
				return nil
			}
			delete(file.Upstreams, name)
			for k := 0; k < len(upstreams.Content); k += 2 {
				if upstreams.Content[k].Value == name {
					l.remove(upstreams.Content[k].Line, l.end(upstreams.Content[k+1]))
				}
			}
			return nil
		})
	}
}

// DropSide is RemoveSide, but leaves the upstream.
func DropSide(route, name string) Edit {
	return func(_ string, present []byte) ([]byte, error) {
		return editSides(present, route, func(file *routes.File, l *lines, _, sides *yaml.Node) error {
			r := file.Routes[route]
			i := slices.IndexFunc(r.Sides, func(s routes.Side) bool { return s.Upstream == name })
			switch {
			case i < 0:
				return fmt.Errorf("%s is no side of %s", name, route)
			case r.Sides[i].Weight > 0:
				return fmt.Errorf("%s has a weight of %d: move that first (seam route set)", name, r.Sides[i].Weight)
			}
			r.Sides = slices.Delete(r.Sides, i, i+1)
			file.Routes[route] = r
			if side := sides.Content[i]; sides.Style == yaml.FlowStyle {
				before, _, after := l.around(side)
				if i == 0 {
					after = strings.TrimLeft(after, ", ")
				}
				l.now[side.Line-1] = strings.TrimRight(before, ", ") + after
			} else {
				l.remove(side.Line, l.end(side))
			}
			return nil
		})
	}
}

// used reports whether a route names the upstream.
func used(file routes.File, upstream string) bool {
	for _, r := range file.Routes {
		if r.Shadow != nil && r.Shadow.Upstream == upstream ||
			slices.ContainsFunc(r.Sides, func(s routes.Side) bool { return s.Upstream == upstream }) {
			return true
		}
	}
	return false
}

// editSides calls edit, which changes the file and its lines alike, with the nodes of the upstreams
// and of the route's sides, and fails unless both come to the same.
func editSides(data []byte, route string, edit func(file *routes.File, l *lines, upstreams, sides *yaml.Node) error) ([]byte, error) {
	var want, got routes.File
	var nodes struct {
		Upstreams yaml.Node
		Routes    map[string]struct{ Sides yaml.Node }
	}
	if err := errors.Join(yaml.Unmarshal(data, &want), yaml.Unmarshal(data, &nodes)); err != nil {
		return nil, err
	}
	sides := nodes.Routes[route].Sides
	if len(want.Routes[route].Sides) == 0 || len(want.Upstreams) == 0 {
		return nil, fmt.Errorf("there is no route %s", route)
	}
	l := lines{string(data), strings.SplitAfter(string(data), "\n")}
	if err := edit(&want, &l, &nodes.Upstreams, &sides); err != nil {
		return nil, err
	}
	next := []byte(strings.Join(l.now, ""))
	if err := yaml.Unmarshal(next, &got); err != nil || !reflect.DeepEqual(got, want) {
		return nil, fmt.Errorf("%s is not written as seam writes routes: edit the file, and say seam route apply", route)
	}
	return next, nil
}

// lines are those of a page, as it is edited; a removed one is empty, so that numbers stay.
type lines struct {
	page string // as it was
	now  []string
}

// end returns the line on which a node of the page ends.
func (l *lines) end(node *yaml.Node) int { return architecture.LastLine(l.page, node) }

// insert adds a line after a line, indented to a column; both count from 1.
func (l *lines) insert(after, column int, format string, args ...any) {
	text := l.now[after-1]
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	l.now[after-1] = text + strings.Repeat(" ", max(0, column-1)) + fmt.Sprintf(format, args...) + "\n"
}

// around returns the line on which a node in braces begins: what is before it, the node, and what is
// after it.
func (l *lines) around(node *yaml.Node) (before, braces, after string) {
	line := []rune(l.now[node.Line-1]) // for a column is in characters
	braces, after, _ = strings.Cut(string(line[node.Column-1:]), "}")
	return string(line[:node.Column-1]), braces + "}", after
}

func (l *lines) remove(first, last int) {
	for i := first; i <= last; i++ {
		l.now[i-1] = ""
	}
}
