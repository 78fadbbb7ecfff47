package template

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
)

// withoutKeys returns a YAML page without keys of the mappings at these paths, with what is below
// them and the comment above. Other lines stay as they are.
func withoutKeys(page string, paths [][]string, keys ...string) (string, error) {
	lines := strings.SplitAfter(page, "\n")
	for _, path := range paths {
		m, err := mapping(page, path)
		if err != nil {
			return "", err
		}
		for key, value := range pairs(m) {
			if !slices.Contains(keys, key.Value) {
				continue
			}
			first, end := key.Line-1, architecture.LastLine(page, value)
			for first > 0 && isComment(lines[first-1]) {
				first--
			}
			if first == 0 { // the page's own comment
				first = key.Line - 1
			}
			if end < len(lines) && strings.TrimSpace(lines[end]) == "" && first > 0 && strings.TrimSpace(lines[first-1]) == "" {
				end++ // one empty line of two
			}
			for i := first; i < end; i++ {
				lines[i] = ""
			}
		}
	}
	left := strings.TrimRight(strings.Join(lines, ""), "\n") + "\n"
	var want, got map[string]any
	err := errors.Join(yaml.Unmarshal([]byte(page), &want), yaml.Unmarshal([]byte(left), &got))
	for _, path := range paths {
		deleteKeys(want, path, keys)
	}
	if err != nil || len(want)+len(got) > 0 && !reflect.DeepEqual(got, want) {
		return "", fmt.Errorf("take %s out of it by hand first, because it is not written in lines of its own", strings.Join(keys, ", "))
	}
	return left, nil
}

// deleteKeys deletes keys of the mapping at a path. What is left empty is nothing.
func deleteKeys(page map[string]any, path, keys []string) {
	if len(path) == 0 {
		maps.DeleteFunc(page, func(key string, _ any) bool { return slices.Contains(keys, key) })
		return
	}
	if part, ok := page[path[0]].(map[string]any); ok {
		if deleteKeys(part, path[1:], keys); len(part) == 0 {
			page[path[0]] = nil
		}
	}
}

// mapping returns the mapping at a path of a YAML page, or nil.
func mapping(page string, path []string) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(page), &document); err != nil || len(document.Content) == 0 {
		return nil, err
	}
	return below(document.Content[0], path...), nil
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

// pairs yields the keys and values of a mapping.
func pairs(m *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if m == nil || m.Kind != yaml.MappingNode {
			return
		}
		for pair := range slices.Chunk(m.Content, 2) {
			if !yield(pair[0], pair[1]) {
				return
			}
		}
	}
}

// below returns the node at a path of mappings, or nil.
func below(node *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		var found *yaml.Node
		for key, value := range pairs(node) {
			if key.Value == name {
				found = value
			}
		}
		node = found
	}
	return node
}

// withScalar returns a YAML page in which a word or number that is written as it is, or in quotes, is
// another one.
func withScalar(page string, node *yaml.Node, value string) (string, error) {
	if node == nil || node.Kind != yaml.ScalarNode {
		return "", errors.New("there is no such value")
	}
	lines := strings.SplitAfter(page, "\n")
	line := []rune(lines[node.Line-1]) // for a column is in characters
	before, rest := string(line[:node.Column-1]), string(line[node.Column-1:])
	if node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		before, rest = before+rest[:1], rest[1:]
	}
	after, plain := strings.CutPrefix(rest, node.Value)
	if !plain {
		return "", fmt.Errorf("line %d: %s is not written as a plain word", node.Line, node.Value)
	}
	lines[node.Line-1] = before + value + after
	return strings.Join(lines, ""), nil
}

// withScalars returns a YAML page in which each of these nodes has another value.
func withScalars(page string, nodes []*yaml.Node, value string) (_ string, err error) {
	slices.SortFunc(nodes, func(a, b *yaml.Node) int { return cmp.Or(b.Line-a.Line, b.Column-a.Column) }) // the last first
	for _, node := range nodes {
		if page, err = withScalar(page, node, value); err != nil {
			return "", err
		}
	}
	return page, nil
}

// replaceLine replaces the line that begins so.
func replaceLine(page, begins, line string) string {
	lines := strings.SplitAfter(page, "\n")
	for i := range lines {
		if strings.HasPrefix(lines[i], begins) {
			lines[i] = line
		}
	}
	return strings.Join(lines, "")
}
