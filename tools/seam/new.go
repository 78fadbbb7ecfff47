package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/template"
)

const aboutNew = `seam new DIR --module PATH makes a product of this repository in a new folder: renamed, generated, and with a first
commit. It needs no network once this repository has been built. seam update gets newer versions from this repository's
origin, if the origin has the version that the product was made of, and else from this folder.
  seam new ../loans --module acme.example/loans             with the example's modules, to be replaced
  seam new ../loans --module acme.example/loans --keep MODULE,…    with some of them
  seam new ../loans --module acme.example/loans --empty     with one tiny module that shows each door`

func runNew(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("new", flag.ContinueOnError)
	modulePath := set.String("module", "", "the module path of the product, as in acme.example/loans")
	name := set.String("name", "", "its name, for its database, images and titles (default: what the path ends with)")
	keep := set.String("keep", "", "the modules of the example to keep, separated by commas (default: all)")
	empty := set.Bool("empty", false, "keep none, and add one tiny module")
	lab := set.Bool("lab", false, "keep lab/, which proves the skeleton by faults and measures it")
	license := set.String("license", "", "a file that becomes LICENSE; the template's then stays as LICENSE.seam")
	words, err := flags.ParseAnywhere(set, aboutNew, args)
	if err != nil {
		return err
	}
	switch {
	case len(words) != 1:
		return process.Usage(errors.New("name one folder to be made, as in: seam new ../loans --module acme.example/loans"))
	case *modulePath == "":
		return process.Usage(errors.New("--module is missing: the product's module path, as in acme.example/loans"))
	case given(set, "keep") && len(listOf(*keep)) == 0:
		return process.Usage(errors.New("--keep names no module; --empty keeps none"))
	case *empty && *keep != "":
		return process.Usage(errors.New("--empty keeps no module, and --keep some: take one of the two"))
	}
	files, source, version, err := source(ctx)
	if err != nil {
		return err
	}
	p := template.Product{Module: *modulePath, Name: *name, Keep: listOf(*keep), Lab: *lab}
	p.Template.Source, p.Template.Version = source, version
	if p.Name == "" {
		p.Name = template.NameOf(p.Module)
	}
	if !given(set, "keep") && !*empty {
		p.Keep = files.Modules()
	}
	var own []byte
	if *license != "" {
		if own, err = os.ReadFile(*license); err != nil {
			return process.Usage(fmt.Errorf("read the licence: %w", err))
		}
	}
	product, err := files.Of(p)
	if err != nil {
		return process.Usage(err)
	}
	return makeProduct(ctx, words[0], p, product, string(own))
}

// given reports whether a flag is on the command line, though it may be empty.
func given(set *flag.FlagSet, name string) (found bool) {
	set.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// source returns the template, and where it is from: what this binary carries, or else the files of
// the repository around this folder.
func source(ctx context.Context) (files template.Files, from, version string, err error) {
	if files, version, carried, err := template.Carried(); carried {
		return files, template.CarriedSource, version, err
	}
	root, err := repository()
	if err != nil {
		return nil, "", "", err
	}
	if err := committed(ctx, root); err != nil {
		return nil, "", "", err
	}
	if files, err = template.Read(ctx, root); err != nil {
		return nil, "", "", err
	}
	version, err = versionOf(ctx, root)
	return files, sourceOf(ctx, root), version, err
}

// versionOf names the commit of the template at root.
func versionOf(ctx context.Context, root string) (string, error) {
	return git(ctx, root, "describe", "--always", "--tags", "--abbrev=40")
}

// sourceOf returns where seam update gets the template at root from: its origin, unless only this
// clone has the commit.
func sourceOf(ctx context.Context, root string) string {
	origin, err := git(ctx, root, "remote", "get-url", "origin")
	own, failed := git(ctx, root, "rev-list", "--max-count=1", "HEAD", "--not", "--remotes=origin", "--tags")
	if err != nil || failed != nil || own != "" {
		return root
	}
	return where(root, origin)
}

// where returns where a repository is, from wherever it is asked, and without a password.
func where(from, repository string) string {
	if u, err := url.Parse(repository); err == nil && u.User != nil && u.Scheme != "ssh" {
		u.User = nil
		return u.String()
	}
	if filepath.IsAbs(repository) {
		return repository
	}
	folder, err := filepath.Abs(filepath.Join(from, repository))
	if err == nil {
		_, err = os.Stat(folder)
	}
	if err != nil {
		return repository
	}
	return folder
}

// makeProduct writes the product beside where it is to be, so that a failure leaves no half of one.
func makeProduct(ctx context.Context, dir string, p template.Product, files template.Files, licence string) (err error) {
	began := time.Now()
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if info, err := os.Lstat(dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return process.Usage(fmt.Errorf("%s is a link: name the folder itself", dir))
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return process.Usage(fmt.Errorf("%s is no empty folder: name one that does not exist", dir))
	}
	above := filepath.Dir(dir)
	for _, err := os.Lstat(above); err != nil && above != filepath.Dir(above); _, err = os.Lstat(above) {
		above = filepath.Dir(above)
	}
	if outer, err := git(ctx, above, "rev-parse", "--show-toplevel"); err == nil {
		return process.Usage(fmt.Errorf("%s is inside the repository %s: name a folder beside it", dir, outer))
	}
	defer func() {
		if err != nil {
			removeEmpty(filepath.Dir(dir), above)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { //nolint:gosec // as other folders
		return process.Usage(err)
	}
	if err := removeUnfinished(filepath.Dir(dir)); err != nil {
		return err
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), unfinished)
	if err != nil {
		return process.Usage(err)
	}
	held, err := hold(made)
	if err != nil {
		return err
	}
	defer func() {
		_ = held.Close() // it was only read
		if ctx.Err() != nil {
			err = errors.New("interrupted, and nothing is made")
		}
		err = errors.Join(err, os.RemoveAll(made))
	}()
	fmt.Printf("Making %s of %d files …\n", p.Name, len(files))
	if err := files.Write(made, nil); err != nil {
		return err
	}
	fmt.Println("Building it, and tidying its go.mod files (up to a minute the first time) …")
	generate := goCommand(ctx, made, "run", "./tools/seam", "generate", "--tidy")
	generate.ExtraFiles = []*os.File{held} // so that the folder is in use while this runs, though we are killed
	if err := watched(os.Stdout, generate); err != nil {
		return fmt.Errorf("build it: %w", err)
	}
	if err := gitEach(ctx, made, []string{"init", "--quiet", "--initial-branch=template"}, addAll()); err != nil {
		return err
	}
	tree, err := git(ctx, made, "write-tree")
	if err != nil {
		return err
	}
	if err := gitEach(ctx, made,
		committing(ctx, "commit", "--quiet", "--message", p.Name+", made of the template\n\n"+renderingOf(p, tree)),
		[]string{"checkout", "--quiet", "-b", "main"},
	); err != nil {
		return err
	}
	if licence != "" {
		if err := license(ctx, made, licence); err != nil {
			return err
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Chmod(made, 0o755); err != nil { //nolint:gosec // PostgreSQL's user enters it
		return err
	}
	if err := os.Rename(made, dir); err != nil {
		return err
	}
	fmt.Printf(`
%s is made, in %s, in %s.
  module path  %s
  modules      %s
  template     %s of %s, for seam update
Next:
  cd %s
  make run
`, p.Name, dir, time.Since(began).Round(time.Second), p.Module, strings.Join(files.Modules(), ", "), p.Template.Version[:min(12, len(p.Template.Version))], p.Template.Source, quotedIfNeeded(dir))
	return nil
}

// license gives the product a licence of its own, in a commit that is not the template's, so that
// updates leave it alone.
func license(ctx context.Context, made, text string) error {
	if _, err := git(ctx, made, "mv", "LICENSE", "LICENSE.seam"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(made, "LICENSE"), []byte(text), 0o644); err != nil { //nolint:gosec // as others
		return err
	}
	return gitEach(ctx, made, []string{"add", "--all"},
		committing(ctx, "commit", "--quiet", "--message", "Our licence; the template's stays with what is its own"))
}

func quotedIfNeeded(text string) string {
	if strings.ContainsAny(text, " '\"$\\`&;()<>|*?[]#~\t") {
		return quoted(text)
	}
	return text
}
