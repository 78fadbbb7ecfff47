package routing

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

	"example.com/shop/cmd/gateway/routes"
)

// Create writes a new file and removes its previous version, whose processes no longer serve.
func Create(path string, file routes.File) error {
	text, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	if err := os.Remove(previous(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // no secrets: it says who serves what
}

// Edit returns the next version of the file at path, of which present is the present one.
type Edit func(path string, present []byte) (next []byte, err error)

// Weights changes the weights of a route's sides. It replaces only the numbers in the text, because
// no YAML encoder keeps comments and layout.
func Weights(route string, weights map[string]int) Edit {
	return func(_ string, present []byte) ([]byte, error) { return setWeights(present, route, weights) }
}

// Rollback is the previous version. A second rollback undoes the first.
func Rollback(path string, _ []byte) ([]byte, error) {
	earlier, err := os.ReadFile(previous(path))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no version before this one: %s is missing", previous(path))
	}
	return earlier, err
}

// AsItIs is the present version, which a person has edited.
func AsItIs(_ string, present []byte) ([]byte, error) { return present, nil }

func setWeights(data []byte, route string, weights map[string]int) ([]byte, error) {
	var want, got routes.File
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
		return nil, unknownSides(want, route, slices.Sorted(maps.Keys(unknown)))
	}
	next := []byte(strings.Join(lines, ""))
	if err := yaml.Unmarshal(next, &got); err != nil || !reflect.DeepEqual(got, want) {
		return nil, fmt.Errorf("a weight of %s is not written as a plain number of its own: change it in the file", route)
	}
	return next, nil
}

// unknownSides says which routes there are, or which sides the route has.
func unknownSides(file routes.File, route string, unknown []string) error {
	found, ok := file.Routes[route]
	if !ok {
		return fmt.Errorf("there is no route %s; there are %s", route, strings.Join(slices.Sorted(maps.Keys(file.Routes)), ", "))
	}
	var sides []string
	for _, s := range found.Sides {
		sides = append(sides, s.Upstream)
	}
	return fmt.Errorf("the route %s has no side %s, but %s: seam route add gives it another one",
		route, strings.Join(unknown, ", "), strings.Join(sides, ", "))
}

// previous returns the path of the previous version, beside the file, where an operator finds it.
func previous(path string) string { return path + ".previous" }

// next is a change of a file: a version that is checked, and the present one.
type next struct {
	from, to routes.File // from is empty if the present version is invalid
	text     []byte
	replace  func() error // keeps the present version as the previous one, and replaces the file
}

// change checks the edited file and calls do, which replaces it among the other steps. Changes take
// turns, or one would undo another.
func change(path string, edit Edit, do func(next) error) error {
	path, err := filepath.EvalSymlinks(path) // a link stays one
	if err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path)) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil { // the file itself is replaced
		return fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	present, err := os.ReadFile(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	var n next
	if n.text, err = edit(path, present); err == nil {
		n.to, err = routes.Parse(n.text)
	}
	if err != nil {
		return fmt.Errorf("nothing is changed: %w", err)
	}
	if n.from, err = routes.Parse(present); err != nil {
		n.from = routes.File{} // no façade serves it
	}
	n.replace = func() error {
		if bytes.Equal(present, n.text) { // keep the previous version
			return nil
		}
		if err := Replace(previous(path), path, present); err != nil {
			return err
		}
		return Replace(path, path, n.text)
	}
	return do(n)
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
