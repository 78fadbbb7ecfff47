package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutGenerate = `seam generate writes what follows from the modules: their contracts and the map in architecture, the compose files in
deploy (from FILE.tmpl), a route for each module that has none, and the replace lines of the go.mod files.`

func generate(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("generate", flag.ContinueOnError)
	andTidy := set.Bool("tidy", false, "tidy every go.mod, too, those that others need first")
	if err := flags.ParseOnly(set, aboutGenerate, args); err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	tree, err := describedTree(ctx, root)
	if err != nil {
		return err
	}
	if _, err := writeDerived(ctx, root, tree); err != nil || !*andTidy {
		return err
	}
	return tidy(ctx, root, tree)
}

// writeDerived writes the files that follow from the modules, where they differ. It returns their
// names, but for those of go.mod files.
func writeDerived(ctx context.Context, root string, tree architecture.Tree) (wrote []string, err error) {
	files, err := tree.Derived()
	if err != nil {
		return nil, process.Usage(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == tree[name] {
			continue
		}
		wrote = append(wrote, name)
		file := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755) //nolint:gosec // public pages
		if err == nil {
			err = os.WriteFile(file, []byte(files[name]), 0o644) //nolint:gosec // public pages
		}
		if err != nil {
			return wrote, err
		}
		fmt.Println(name, "is written")
	}
	for _, name := range tree.Outdated(files) {
		wrote = append(wrote, name)
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			return wrote, err
		}
		fmt.Println(name, "is removed")
	}
	return wrote, replaceModules(ctx, root, tree)
}

// moduleReplaced matches the replace line of a module or a contract.
var moduleReplaced = regexp.MustCompile(`(?m)^\s*(?:replace\s+)?` + regexp.QuoteMeta(architecture.Path) + `/(modules/\S+)\s+=>`)

// replaceModules gives each go.mod a replace line for every unit of ours that it needs, so that it
// builds without go.work: those above the modules for each module and contract, and a module's own
// for what its code imports. go mod tidy writes what they require.
func replaceModules(ctx context.Context, root string, tree architecture.Tree) error {
	units := append(tree.Match("modules/*/go.mod"), tree.Match("modules/*/*/go.mod")...)
	needs := map[string][]string{".": units, "tools": units, "lab": units} // by folder
	for _, mod := range tree.Match("modules/*/go.mod") {
		needs[path.Dir(mod)] = tree.Needs(path.Dir(mod))
	}
	for _, folder := range slices.Sorted(maps.Keys(needs)) {
		mod := path.Join(folder, "go.mod")
		if _, ok := tree[mod]; !ok {
			continue
		}
		edit := []string{"mod", "edit"}
		for _, unit := range needs[folder] {
			unit = path.Dir(unit)
			to, err := filepath.Rel(folder, unit)
			if err != nil {
				return err
			}
			if to = filepath.ToSlash(to); !strings.HasPrefix(to, ".") {
				to = "./" + to
			}
			if !strings.Contains(tree[mod], architecture.Path+"/"+unit+" => ") {
				edit = append(edit, "-replace="+architecture.Path+"/"+unit+"="+to)
			}
		}
		for _, found := range moduleReplaced.FindAllStringSubmatch(tree[mod], -1) {
			if _, ok := tree[found[1]+"/go.mod"]; !ok { // its module is gone
				edit = append(edit, "-dropreplace="+architecture.Path+"/"+found[1])
			}
		}
		if len(edit) == 2 {
			continue
		}
		if err := watched(os.Stdout, goCommand(ctx, root, append(edit, mod)...)); err != nil {
			return fmt.Errorf("edit %s: %w", mod, err)
		}
		fmt.Println(mod, "is written")
	}
	return nil
}
