// Package template turns this repository into another product's: it takes modules out, puts modules
// in, and renames. It works on the text of the files, so that seam new, seam module and seam update
// do the same, and writes nothing itself.
package template

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/mod/modfile"
)

// File is the text of a file, and whether it can be run.
type File struct {
	Text string
	Runs bool
}

// Files are a repository's files by their paths from its root, with slashes.
type Files map[string]File

// Read reads the plain files that git tracks, and those that it would, in the repository at root.
func Read(ctx context.Context, root string) (Files, error) {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", root, err)
	}
	f := Files{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		file := filepath.Join(root, name)
		info, err := os.Lstat(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() { // deleted and not committed, or a link
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		text, err := os.ReadFile(file) //nolint:gosec // the repository's own
		if err != nil {
			return nil, err
		}
		f[name] = File{string(text), info.Mode()&0o111 != 0}
	}
	return f, nil
}

// unpack reads an archive of a repository.
func unpack(archive *zip.Reader) (Files, error) {
	f := Files{}
	for _, entry := range archive.File {
		if entry.FileInfo().IsDir() {
			continue
		}
		text, err := fs.ReadFile(archive, entry.Name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", entry.Name, err)
		}
		f[entry.Name] = File{string(text), entry.Mode()&0o111 != 0}
	}
	return f, nil
}

// Write writes the files that differ from what was, and removes those that are gone.
func (f Files) Write(root string, was Files) error {
	for name := range was {
		if _, kept := f[name]; !kept {
			if err := os.Remove(filepath.Join(root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			removeEmpty(root, path.Dir(name))
		}
	}
	for name, file := range f {
		if before, there := was[name]; there && before == file {
			continue
		}
		mode := fs.FileMode(0o644)
		if file.Runs {
			mode = 0o755
		}
		to := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a repository's folders
			return err
		}
		if err := os.WriteFile(to, []byte(file.Text), mode); err != nil {
			return err
		}
		if err := os.Chmod(to, mode); err != nil { // of a file that was there
			return err
		}
	}
	return nil
}

// removeEmpty removes a folder and those above it that have nothing left in them.
func removeEmpty(root, folder string) {
	for folder != "." && os.Remove(filepath.Join(root, folder)) == nil {
		folder = path.Dir(folder)
	}
}

// Path returns the module path of the root's go.mod.
func (f Files) Path() string { return modfile.ModulePath([]byte(f["go.mod"].Text)) }

// Name returns the product's name: as in its record, or what the module path ends with, but for a
// version.
func (f Files) Name() string {
	var p Product
	if yaml.Unmarshal([]byte(f[Record].Text), &p) == nil && p.Name != "" {
		return p.Name
	}
	return NameOf(f.Path())
}

// Modules returns the bounded contexts.
func (f Files) Modules() (names []string) {
	for _, file := range f.sorted() {
		if m, ok := strings.CutSuffix(strings.TrimPrefix(file, "modules/"), "/go.mod"); ok &&
			strings.HasPrefix(file, "modules/") && !strings.Contains(m, "/") {
			names = append(names, m)
		}
	}
	return names
}

// sorted returns the names of all files.
func (f Files) sorted() []string { return slices.Sorted(maps.Keys(f)) }

// set replaces the text of a file, which may be new.
func (f Files) set(name, text string) { f[name] = File{text, f[name].Runs} }

// below returns the names of the files in a folder, at any depth, sorted.
func (f Files) below(folder string) []string {
	return slices.DeleteFunc(f.sorted(), func(name string) bool {
		return !strings.HasPrefix(name, folder+"/")
	})
}
