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
	"syscall"

	"go.yaml.in/yaml/v3"
)

// Load reads the file at a path.
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

// Create begins a file anew. No version before it is kept: what an earlier run served is not there any more.
func Create(path string, file File) error {
	text, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.Remove(previous(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // no secrets: it says who serves what
}

// SetWeights gives sides of a route other weights. Only the numbers in the file are replaced: its comments and its layout belong
// to the people who wrote them, and no YAML encoder keeps those.
func SetWeights(path, route string, weights map[string]int) error {
	return change(path, func(_ string, data []byte) ([]byte, error) { return setWeights(data, route, weights) })
}

func setWeights(data []byte, route string, weights map[string]int) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	found := lookup(&document, "routes", route, "sides")
	if found == nil {
		return nil, fmt.Errorf("there is no route %s", route)
	}
	// The parser tells where each number stands; there the text is replaced.
	lines := strings.SplitAfter(string(data), "\n")
	unknown := maps.Clone(weights)
	for _, side := range slices.Backward(found.Content) { // from behind: a number's length moves what follows on its line
		name, weight := lookup(side, "upstream"), lookup(side, "weight")
		if name == nil || weight == nil {
			return nil, fmt.Errorf("a side of %s has no upstream or no weight written down", route)
		}
		if percent, wanted := weights[name.Value]; wanted {
			line, at := []rune(lines[weight.Line-1]), weight.Column-1 // yaml counts characters, not bytes
			lines[weight.Line-1] = string(line[:at]) + strconv.Itoa(percent) + string(line[at+len(weight.Value):])
			delete(unknown, name.Value)
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("%s has no side %s", route, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	return []byte(strings.Join(lines, "")), nil
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
	return change(path, func(path string, _ []byte) ([]byte, error) {
		earlier, err := os.ReadFile(previous(path))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no version before this one: %s is missing", previous(path))
		}
		return earlier, err
	})
}

// previous is kept beside the file, where it survives whatever wrote it and an operator finds it without being told.
func previous(path string) string { return path + ".previous" }

// change checks the next version, keeps the present one beside it, and only then lets the next one take its place.
func change(path string, edit func(path string, present []byte) (next []byte, err error)) error {
	path, err := filepath.EvalSymlinks(path) // a link stays one
	if err != nil {
		return err
	}
	// One at a time, or the second of two would undo the first. The folder is locked, because the file is exchanged.
	folder, err := os.Open(filepath.Dir(path)) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	present, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	next, err := edit(path, present)
	if err == nil {
		err = allowed(present, next)
	}
	if err != nil {
		return fmt.Errorf("nothing is changed: %w", err)
	}
	if bytes.Equal(present, next) { // then the version before is still the one to go back to
		return nil
	}
	if err := Replace(previous(path), path, present); err != nil {
		return err
	}
	return Replace(path, path, next)
}

// allowed refuses what the gateway would refuse.
func allowed(present, next []byte) error {
	to, err := Parse(next)
	if err != nil {
		return err
	}
	from, err := Parse(present)
	if err != nil {
		return nil //nolint:nilerr // no gateway has taken the present one, so nothing is compared with it
	}
	for _, name := range slices.Sorted(maps.Keys(to.Routes)) {
		before, after := from.Routes[name].Home(), to.Routes[name].Home()
		if before != "" && after != "" && before != after {
			return fmt.Errorf("route %s: %w", name, ErrMove)
		}
	}
	return nil
}

// Replace writes a file by renaming, so that a program that reads it meanwhile sees the old version
// or the new one, and never half. The same users may read it as may read the file like.
func Replace(path, like string, data []byte) error {
	known, err := os.Stat(like)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // in vain after the rename
	if owner, ok := known.Sys().(*syscall.Stat_t); ok {
		_ = temporary.Chown(int(owner.Uid), int(owner.Gid)) // only root may, and only root has to
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(known.Mode().Perm()), temporary.Sync(), temporary.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temporary.Name(), path)
}
