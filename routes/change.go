package routes

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

func read(path string) ([]byte, error) { return os.ReadFile(path) } //nolint:gosec // the operator names it

// Load reads the file at a path.
func Load(path string) (File, error) {
	data, err := read(path)
	if err != nil {
		return File{}, err
	}
	file, err := Parse(data)
	if err != nil {
		return file, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// SetWeights gives sides of a route other weights. Only the numbers in the file are replaced: its comments and its layout belong
// to the people who wrote them, and no YAML encoder keeps those.
func SetWeights(path, route string, weights map[string]int) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	found := lookup(&document, "routes", route, "sides")
	if found == nil {
		return fmt.Errorf("%s has no route %s", path, route)
	}
	// The parser tells where each number stands; there the text is replaced.
	lines := strings.SplitAfter(string(data), "\n")
	unknown := maps.Clone(weights)
	for _, side := range slices.Backward(found.Content) { // from behind: a number's length moves what follows on its line
		name, weight := lookup(side, "upstream"), lookup(side, "weight")
		if name == nil || weight == nil {
			return fmt.Errorf("a side of %s has no upstream or no weight written down", route)
		}
		if percent, wanted := weights[name.Value]; wanted {
			line, at := []rune(lines[weight.Line-1]), weight.Column-1 // yaml counts characters, not bytes
			lines[weight.Line-1] = string(line[:at]) + strconv.Itoa(percent) + string(line[at+len(weight.Value):])
			delete(unknown, name.Value)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%s has no side %s", route, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return replace(path, data, []byte(strings.Join(lines, "")))
}

// lookup follows keys through mappings; nil if one is not there.
func lookup(node *yaml.Node, keys ...string) *yaml.Node {
	if node.Kind == yaml.DocumentNode {
		node = node.Content[0]
	}
	for _, key := range keys {
		if node == nil || node.Kind != yaml.MappingNode {
			return nil
		}
		mapping := node
		node = nil
		for pair := range slices.Chunk(mapping.Content, 2) { // key, value, key, value …
			if pair[0].Value == key {
				node = pair[1]
			}
		}
	}
	return node
}

// Rollback puts the previous version back. Done twice, it is undone.
func Rollback(path string) error {
	data, err := read(path)
	if err != nil {
		return err
	}
	earlier, err := read(previous(path))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no version before this one: %s is missing", previous(path))
	}
	if err != nil {
		return err
	}
	return replace(path, data, earlier)
}

// previous is kept beside the file, where it survives whatever wrote it and an operator finds it without being told.
func previous(path string) string { return path + ".previous" }

// replace checks the next version, keeps the present one beside it, and only then lets the next one take its place.
func replace(path string, present, next []byte) error {
	if _, err := Parse(next); err != nil {
		return fmt.Errorf("nothing is changed: %w", err)
	}
	if bytes.Equal(present, next) { // then the version before is still the one to go back to
		return nil
	}
	if err := write(previous(path), present); err != nil {
		return err
	}
	return write(path, next)
}

// write replaces a file by renaming, so that a gateway that reads it meanwhile sees the old version or the new one, and never half.
func write(path string, data []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // in vain after the rename
	_, err = temporary.Write(data)
	// Whoever may read the routes file now may also read the next one; CreateTemp allows the owner alone.
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temporary.Name(), path)
}
