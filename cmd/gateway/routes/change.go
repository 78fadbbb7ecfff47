package routes

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

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

// Create writes a new file and removes its previous version, whose processes no longer serve.
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

// SetWeights changes the weights of a route's sides. It replaces only the numbers in the text,
// because no YAML encoder keeps comments and layout.
func SetWeights(path, route string, weights map[string]int) error {
	return change(path, func(_ string, data []byte) ([]byte, error) { return setWeights(data, route, weights) })
}

func setWeights(data []byte, route string, weights map[string]int) ([]byte, error) {
	var want, got File
	var places struct {
		Routes map[string]struct {
			Sides []struct{ Weight yaml.Node }
		}
	}
	if err := cmp.Or(yaml.Unmarshal(data, &want), yaml.Unmarshal(data, &places)); err != nil {
		return nil, err
	}
	lines := strings.SplitAfter(string(data), "\n")
	unknown := maps.Clone(weights)
	for i, side := range slices.Backward(want.Routes[route].Sides) { // a longer number moves what follows
		percent, wanted := weights[side.Upstream]
		if !wanted {
			continue
		}
		delete(unknown, side.Upstream)
		want.Routes[route].Sides[i].Weight = percent
		weight := places.Routes[route].Sides[i].Weight
		if line, at := weight.Line-1, weight.Column-1; 0 <= line && line < len(lines) { // or it is not written down
			text := []rune(lines[line]) // for at is in characters
			after := min(at+len(weight.Value), len(text))
			lines[line] = string(text[:min(at, after)]) + strconv.Itoa(percent) + string(text[after:])
		}
	}
	if len(unknown) > 0 {
		return nil, fmt.Errorf("there is no route %s with a side %s", route, strings.Join(slices.Sorted(maps.Keys(unknown)), ", "))
	}
	next := []byte(strings.Join(lines, ""))
	if err := yaml.Unmarshal(next, &got); err != nil || !reflect.DeepEqual(got, want) {
		return nil, fmt.Errorf("a weight of %s is not written as a plain number of its own: change it in the file", route)
	}
	return next, nil
}

// Rollback swaps the file with its previous version. A second rollback undoes the first.
func Rollback(path string) error {
	return change(path, func(path string, _ []byte) ([]byte, error) {
		earlier, err := os.ReadFile(previous(path))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("there is no version before this one: %s is missing", previous(path))
		}
		return earlier, err
	})
}

// previous returns the path of the previous version, beside the file, where an operator finds it.
func previous(path string) string { return path + ".previous" }

// change edits the file: it checks the next version, keeps the present one as the previous, and
// then replaces the file.
func change(path string, edit func(path string, present []byte) (next []byte, err error)) error {
	path, err := filepath.EvalSymlinks(path) // a link stays one
	if err != nil {
		return err
	}
	// Changes take turns, or one would undo another. The folder is locked: the file is replaced.
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
	if bytes.Equal(present, next) { // keep the previous version
		return nil
	}
	if err := Replace(previous(path), path, present); err != nil {
		return err
	}
	return Replace(path, path, next)
}

// allowed returns an error if the gateway would refuse the change.
func allowed(present, next []byte) error {
	to, err := Parse(next)
	if err != nil {
		return err
	}
	from, err := Parse(present)
	if err != nil {
		return nil //nolint:nilerr // no gateway serves the present one
	}
	for _, name := range slices.Sorted(maps.Keys(to.Routes)) {
		before, after := from.Routes[name].Home(), to.Routes[name].Home()
		if before != "" && after != "" && before != after {
			return fmt.Errorf("route %s: %w", name, ErrMove)
		}
	}
	return nil
}

// Replace replaces a file by renaming, so that a reader sees the old version or the new one, never
// half. It gets the mode of the file like, and for root its owner.
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
		_ = temporary.Chown(int(owner.Uid), int(owner.Gid)) // only root may, and has to
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(known.Mode().Perm()), temporary.Sync(), temporary.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(temporary.Name(), path)
}
