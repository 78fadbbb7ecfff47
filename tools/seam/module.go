package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/template"
)

const aboutModule = `seam module adds, removes and renames modules of this repository, with everything that belongs to them, and takes one
that has its own process out of the monolith.
  seam module add NAME [--listens TOPIC,…] [--publishes TOPIC,…] [--calls MODULE,…]
  seam module remove NAME
  seam module rename OLD NEW      before its contracts are released
  seam module detach NAME         the last step of deploy/EXTRACT.md, once the ledger has it as data moved
Each change can be undone by git, and is refused while files are not committed.`

func runModule(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("module", flag.ContinueOnError)
	listens := set.String("listens", "", "add: topics of other modules that it handles")
	publishes := set.String("publishes", "", "add: topics of its own, as in shipping.sent.v1")
	calls := set.String("calls", "", "add: modules that it calls, each with a Client in its contract")
	words, err := flags.ParseAnywhere(set, aboutModule, args)
	if err != nil {
		return err
	}
	if len(words) < 2 || len(words) > 3 || (len(words) == 3) != (words[0] == "rename") {
		return process.Usage(errors.New("write seam module add NAME, remove NAME, rename OLD NEW or detach NAME; see seam module --help"))
	}
	if words[0] != "add" && set.NFlag() > 0 {
		return process.Usage(fmt.Errorf("seam module %s takes no flags", words[0]))
	}
	root, err := repository()
	if err != nil {
		return err
	}
	if err := committed(ctx, root); err != nil {
		return err
	}
	files, err := template.Read(ctx, root)
	if err != nil {
		return err
	}
	switch words[0] {
	case "add":
		return addModule(ctx, root, files, template.Module{
			Name: words[1], Listens: listOf(*listens), Publishes: listOf(*publishes), Calls: listOf(*calls),
		})
	case "remove":
		return removeModule(ctx, root, files, words[1])
	case "rename":
		return renameModule(ctx, root, files, words[1], words[2])
	case "detach":
		return detachModule(ctx, root, files, words[1])
	}
	return process.Usage(fmt.Errorf("seam module cannot %q; it can add, remove, rename and detach", words[0]))
}

func listOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func addModule(ctx context.Context, root string, files template.Files, m template.Module) error {
	with, byHand, err := files.With(m)
	if err != nil {
		return process.Usage(err)
	}
	return change(ctx, root, files, with, byHand, fmt.Sprintf(`
%[1]s is a module: modules/%[1]s, its schema in migrations/%[1]s, its process in cmd/%[1]s.
What it does is an example: modules/%[1]s/README.md says what. Replace it, and its test in test/acceptance. Its table you may
replace in place until a database has it: from then on it takes a migration 0002. Then:
  bin/seam postgres -- go test ./modules/%[1]s
  make run
`, m.Name))
}

func removeModule(ctx context.Context, root string, files template.Files, name string) error {
	if !slices.Contains(files.Modules(), name) {
		return process.Usage(fmt.Errorf("there is no module %s; there are %s", name, strings.Join(files.Modules(), ", ")))
	}
	if len(files.Modules()) == 1 {
		return process.Usage(fmt.Errorf("%s is the only module: add another one first", name))
	}
	if users := append(files.UsersOf(name), files.AgreedWith(name)...); len(users) > 0 {
		return process.Usage(fmt.Errorf("%s cannot be removed, because others need it:\n  %s\nremove these first",
			name, strings.Join(users, "\n  ")))
	}
	if uses := files.InLab(name); uses != "" {
		return process.Usage(fmt.Errorf("%s cannot be removed, because the lab needs it, as in %s: remove lab/, and ./lab in go.work, first", name, uses))
	}
	left, byHand, err := files.Without(name)
	if err != nil {
		return process.Usage(err)
	}
	return change(ctx, root, files, left, byHand, fmt.Sprintf(`
%[1]s is removed from the repository. Its data stays until it is deleted, while no process of the system runs: that of seam up by
  make build && bin/seam up --removed %[1]s
and that of a deployment by bin/seam setup --removed %[1]s. Then delete the durables on a deployment's broker that begin with %[1]s-.
`, name))
}

func without(modules []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return m == one })
}

func renameModule(ctx context.Context, root string, files template.Files, old, name string) error {
	moved, err := files.Moved(old, name)
	if err != nil {
		return process.Usage(err)
	}
	return change(ctx, root, files, moved, nil, fmt.Sprintf(`
%[1]s is %[2]s in the repository; tables and other names in its code stay. Its data has the old name until it follows, while no
process of the system runs, and before a module is called %[1]s again: that of seam up by
  make build && bin/seam up --renamed %[1]s=%[2]s
and that of a deployment by bin/seam setup --renamed %[1]s=%[2]s. Its --help says what is left to do on a broker.
`, old, name))
}

// change writes the files, and what follows from the modules, and checks them. If that fails or is
// interrupted, what it has written is as it was. It stops before that if something is to be done by
// hand, because nothing builds before.
func change(ctx context.Context, root string, was, files template.Files, byHand []string, done string, check ...func() error) error {
	wrote, err := []string(nil), files.Write(root, was)
	if err == nil && len(byHand) > 0 {
		return fmt.Errorf("this is left to do by hand, in what was written by hand:\n  %s\nthen run make generate, or undo all by "+
			"git restore . && git clean -fd. And then:\n%s", strings.Join(byHand, "\n  "), done)
	}
	if err == nil {
		wrote, err = settle(ctx, root, check)
	}
	if err == nil {
		fmt.Print(done)
		return nil
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return errors.Join(fmt.Errorf("nothing is changed: %w", err), undo(root, was, files, wrote))
}

// settle writes what follows from the modules, and checks all. It returns the files that it wrote,
// go.mod and go.sum files apart.
func settle(ctx context.Context, root string, check []func() error) (wrote []string, err error) {
	fmt.Println("Writing what follows from the modules …")
	tree, err := describedTree(ctx, root)
	if err != nil {
		return nil, err
	}
	if wrote, err = writeDerived(ctx, root, tree); err != nil {
		return wrote, err
	}
	if err := tidy(ctx, root, tree); err != nil {
		return wrote, err
	}
	for _, holds := range check {
		if err := holds(); err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}

// undo makes the files of a change as they were, and leaves alone what a person has done meanwhile.
func undo(root string, was, files template.Files, wrote []string) error {
	for name := range files {
		if path.Base(name) == "go.mod" {
			wrote = append(wrote, name, path.Join(path.Dir(name), "go.sum"))
		}
	}
	wrote = append(wrote, "go.work.sum")
	for _, all := range []template.Files{was, files} {
		for name := range all {
			if was[name] != files[name] {
				wrote = append(wrote, name)
			}
		}
	}
	before, gone := template.Files{}, template.Files{}
	for _, name := range wrote {
		if file, there := was[name]; there {
			before[name] = file
		} else {
			gone[name] = template.File{}
		}
	}
	return before.Write(root, gone)
}

// tidy tidies the go.mod of each unit of go.work, those that others need first.
func tidy(ctx context.Context, root string, tree architecture.Tree) error {
	work, err := modfile.ParseWork("go.work", []byte(tree["go.work"]), nil)
	if err != nil {
		return process.Usage(err)
	}
	var units []string
	for _, use := range work.Use {
		units = append(units, path.Clean(use.Path))
	}
	needs := func(unit string) int { // more than those with a smaller number
		for i, folder := range []string{"migrations", "platform", "platform/devkit", "modules/*", ".", "lab", "tools"} {
			if fits, _ := path.Match(folder, unit); fits {
				return i + 1
			}
		}
		return 0 // a contract
	}
	slices.SortFunc(units, func(a, b string) int { return cmp.Or(needs(a)-needs(b), strings.Compare(a, b)) })
	for _, unit := range units {
		fmt.Println("Tidying", filepath.Join(unit, "go.mod"), "…")
		command := goCommand(ctx, filepath.Join(root, unit), "mod", "tidy")
		command.Env = append(command.Env, "GOWORK=off")
		if err := watched(os.Stdout, command); err != nil {
			return fmt.Errorf("tidy %s: %w", unit, err)
		}
	}
	return nil
}
