package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/template"
)

const aboutUpdate = `seam update brings what the template has learned since into a product that seam new has made, by git's merge.
  seam update --dry-run           what would come, and where it would conflict
  seam update [--to VERSION]      a tag or commit of the template; by default its newest
It makes the product of the newer template on the branch template and merges that: a file that only one side has
changed merges by itself, conflicts are git's, and modules of your own are not touched. git merge --abort undoes it.
If the branch template is gone, --from names the older template (a folder or a git URL, with #VERSION) to compare with.`

func update(ctx context.Context, args []string) (err error) {
	set := flag.NewFlagSet("update", flag.ContinueOnError)
	to := set.String("to", "", "the version of the template to update to: a tag or a commit")
	of := set.String("template", "", "where the template is: a git URL or folder (default: where it was)")
	from := set.String("from", "", "the template that the product was made of, as FOLDER#VERSION, if there is no branch template")
	dry := set.Bool("dry-run", false, "say what would come, and change nothing")
	if err := flags.ParseOnly(set, aboutUpdate, args); err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	if err := committed(ctx, root); err != nil {
		return err
	}
	p, err := readRecord(root)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "seam-update-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	u := &updater{root: root, work: work, product: p}
	if err := u.base(ctx, *from); err != nil {
		return err
	}
	if *of != "" {
		u.product.Template.Source = *of
	}
	commit, err := u.render(ctx, u.product.Template.Source, *to)
	if err != nil || commit == "" {
		return err
	}
	if *dry {
		return u.preview(ctx, commit)
	}
	return u.merge(ctx, commit)
}

func readRecord(root string) (p template.Product, err error) {
	text, err := os.ReadFile(filepath.Join(root, template.Record)) //nolint:gosec // the repository's own
	if err == nil {
		err = yaml.Unmarshal(text, &p)
	}
	if err != nil {
		return p, process.Usage(fmt.Errorf("%s does not say what this product was made of (%w): seam update is for products of seam new",
			template.Record, err))
	}
	return p, nil
}

// updater updates one product.
type updater struct {
	root, work string
	product    template.Product
}

// base checks that there is a branch template, or makes one of the older template: it records that
// what it has is in the product already, and takes nothing of it.
func (u *updater) base(ctx context.Context, from string) error {
	if _, err := git(ctx, u.root, "rev-parse", "--verify", "--quiet", "refs/heads/template"); err == nil {
		return nil
	}
	if _, err := git(ctx, u.root, "rev-parse", "--verify", "--quiet", "refs/remotes/origin/template"); err == nil {
		_, err := git(ctx, u.root, "branch", "template", "origin/template")
		return err
	}
	if from == "" {
		return process.Usage(errors.New("there is no branch template to compare with: git fetch origin template:template, " +
			"or say by --from FOLDER#VERSION what the product was made of"))
	}
	folder, version, _ := strings.Cut(from, "#")
	made, err := u.make(ctx, "base", folder, version)
	if err != nil {
		return err
	}
	if _, err := git(ctx, u.root, "fetch", "--quiet", made, "template:template"); err != nil {
		return err
	}
	merge := committing(ctx, "merge", "--strategy=ours", "--allow-unrelated-histories", "--message",
		"The template that this was made of", "template")
	_, err = git(ctx, u.root, merge...)
	return err
}

// make makes the product of a version of the template, by that version's own seam, and returns where.
func (u *updater) make(ctx context.Context, name, source, version string) (made string, err error) {
	at := filepath.Join(u.work, name)
	if source == template.CarriedSource && version == "" {
		if source, err = u.unpack(ctx); err != nil {
			return "", err
		}
	}
	fmt.Println("Getting the template of", source, "…")
	if _, err := git(ctx, u.work, "clone", "--quiet", source, at); err != nil {
		return "", process.Usage(fmt.Errorf("get the template: %w; --template says where it is now", err))
	}
	if version != "" {
		if _, err := git(ctx, at, "checkout", "--quiet", version); err != nil {
			return "", process.Usage(fmt.Errorf("the template has no version %s", version))
		}
	}
	made = at + "-product"
	args := []string{"run", "./tools/seam", "new", made, "--module", u.product.Module, "--name", u.product.Name}
	if len(u.product.Keep) == 0 {
		args = append(args, "--empty")
	} else {
		args = append(args, "--keep", strings.Join(u.product.Keep, ","))
	}
	if u.product.Lab {
		args = append(args, "--lab")
	}
	fmt.Println("Making the product of it (up to a minute) …")
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // as recorded
	command.Dir, command.Env = at, append(os.Environ(), "GOWORK=")
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make the product of %s: %w\n%s", source, err, out)
	}
	return made, nil
}

// unpack makes a repository of the template that this binary carries.
func (u *updater) unpack(ctx context.Context) (folder string, err error) {
	files, version, carried, err := template.Carried()
	if err == nil && !carried {
		err = process.Usage(errors.New("this seam carries no template: use one that tools/release.sh has built, or say by --template where the template is"))
	}
	folder = filepath.Join(u.work, "carried")
	if err == nil {
		err = files.Write(folder, nil)
	}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"add", "--all"}, committing(ctx, "commit", "--quiet", "--message", version), {"tag", "carried-" + version[:min(12, len(version))]},
	} {
		if err == nil {
			_, err = git(ctx, folder, args...)
		}
	}
	return folder, err
}

// render commits what the template would make today on top of the branch template, and returns the
// commit, or nothing if there is nothing new.
func (u *updater) render(ctx context.Context, source, version string) (commit string, err error) {
	made, err := u.make(ctx, "newer", source, version)
	if err != nil {
		return "", err
	}
	// The product is to say where it gets its template, not where that was for a moment.
	text, err := yaml.Marshal(u.recordOf(made))
	if err != nil {
		return "", err
	}
	record := filepath.Join(made, template.Record)
	if err := os.WriteFile(record, []byte(template.RecordHead+string(text)), 0o644); err != nil { //nolint:gosec // as others
		return "", err
	}
	for _, args := range [][]string{{"add", "--all"}, committing(ctx, "commit", "--quiet", "--amend", "--no-edit")} {
		if _, err := git(ctx, made, args...); err != nil {
			return "", err
		}
	}
	if _, err := git(ctx, u.root, "fetch", "--quiet", "--no-tags", made, "HEAD"); err != nil {
		return "", err
	}
	tree, err := git(ctx, u.root, "rev-parse", "FETCH_HEAD^{tree}")
	if err != nil {
		return "", err
	}
	if was, err := git(ctx, u.root, "rev-parse", "template^{tree}"); err != nil || was == tree {
		if err == nil {
			fmt.Println("Nothing is new: this product has all that the template has.")
		}
		return "", err
	}
	u.product = u.recordOf(made)
	message := "Template " + u.product.Template.Version
	return git(ctx, u.root, committing(ctx, "commit-tree", tree, "-p", "template", "-m", message)...)
}

// recordOf returns what a product of the newer template says, with the source that the updated one has.
func (u *updater) recordOf(made string) template.Product {
	p := u.product
	if newer, err := readRecord(made); err == nil {
		p.Template.Version = newer.Template.Version
	}
	return p
}

// preview says what the merge would change.
func (u *updater) preview(ctx context.Context, commit string) error {
	changed, err := git(ctx, u.root, "diff", "--stat=120", "template", commit)
	if err != nil {
		return err
	}
	fmt.Println("The template has changed:\n" + changed)
	out, err := git(ctx, u.root, "merge-tree", "--write-tree", "--name-only", "--messages", "HEAD", commit)
	if err == nil {
		fmt.Println("It would merge without a conflict.")
		return nil
	}
	_, list, _ := strings.Cut(out, "\n") // after the tree
	fmt.Println("It would conflict in:\n" + list)
	return nil
}

// merge merges the commit, and writes what follows from the modules if nothing conflicts.
func (u *updater) merge(ctx context.Context, commit string) error {
	command := exec.CommandContext(ctx, "git", committing(ctx, "merge", "--no-ff", "--no-commit", commit)...) //nolint:gosec // ours
	command.Dir = u.root
	out, failed := command.CombinedOutput()
	fmt.Print(string(out))
	if _, err := git(ctx, u.root, "branch", "--force", "template", commit); err != nil {
		return err
	}
	if err := u.takeDerived(ctx); err != nil {
		return err
	}
	conflicts, err := u.conflicts(ctx)
	if err != nil {
		return err
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("both sides have changed these files:\n  %s\nmend them, run make generate, then git add and git commit; "+
			"or git merge --abort", strings.Join(conflicts, "\n  "))
	}
	if _, err := git(ctx, u.root, "rev-parse", "--verify", "--quiet", "MERGE_HEAD"); err != nil {
		return fmt.Errorf("git did not begin the merge: %w", errors.Join(failed, err))
	}
	if err := follow(ctx, u.root); err != nil {
		return fmt.Errorf("the merge is not committed, because it does not build: %w\nmend it, then git add and git commit; "+
			"or git merge --abort", err)
	}
	for _, args := range [][]string{{"add", "--all"}, committing(ctx, "commit", "--quiet", "--message", "Update to template "+u.product.Template.Version)} {
		if _, err := git(ctx, u.root, args...); err != nil {
			return err
		}
	}
	fmt.Println("Updated. make check and make test say whether all holds.")
	return nil
}

// conflicts returns the files that git could not merge.
func (u *updater) conflicts(ctx context.Context) ([]string, error) {
	out, err := git(ctx, u.root, "diff", "--name-only", "--diff-filter=U")
	return strings.Fields(out), err
}

// takeDerived takes this side of files that conflict and are written anew after the merge.
func (u *updater) takeDerived(ctx context.Context) error {
	conflicts, err := u.conflicts(ctx)
	if err != nil {
		return err
	}
	for _, file := range conflicts {
		_, err := os.Stat(filepath.Join(u.root, file+".tmpl"))
		contract := strings.HasPrefix(file, "architecture/contracts/") && !strings.HasPrefix(file, "architecture/contracts/released/")
		if err != nil && path.Base(file) != "go.sum" && !contract {
			continue
		}
		if _, err := git(ctx, u.root, "checkout", "--ours", "--", file); err != nil {
			continue // one side has removed it: a person decides
		}
		if _, err := git(ctx, u.root, "add", "--", file); err != nil {
			return err
		}
	}
	return nil
}
