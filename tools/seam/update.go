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
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/template"
)

const aboutUpdate = `seam update merges the template's changes into a product that seam new has made.
  seam update --dry-run           what would come, and where it would conflict
  seam update [--to VERSION]      a tag or commit of the template; by default its newest
The template is where .seam.yaml says: the origin of the repository in which seam new ran, or that folder. --template says where
it is from now on.
It makes the product anew, of the newer template, commits that on top of what seam new or the last update has made, and has
git merge it: what only one side has changed merges by itself, and modules of your own are not touched. git merge --abort
undoes a merge that conflicts. The branch template is the newest one merged.
A version of the template that does not come after the product's is refused: an older one, or one of a history that was
rewritten. --anyway takes it, and so takes out what only the product's version has.
If the history was lost, as in a squashed clone, --from FOLDER#VERSION names the template that the product was made of.`

func update(ctx context.Context, args []string) (err error) {
	set := flag.NewFlagSet("update", flag.ContinueOnError)
	to := set.String("to", "", "the version of the template to update to: a tag or a commit")
	of := set.String("template", "", "where the template is: a git URL or folder (default: where it was)")
	from := set.String("from", "", "the template that the product was made of, as FOLDER#VERSION, if the history was lost")
	anyway := set.Bool("anyway", false, "take a version that does not come after the one that the product has")
	dry := set.Bool("dry-run", false, "say what would come, and change nothing")
	if err := flags.ParseOnly(set, aboutUpdate, args); err != nil {
		return err
	}
	root, p, err := product(ctx)
	if err != nil {
		return err
	}
	if *dry && *from != "" {
		return process.Usage(errors.New("--dry-run changes nothing, and --from writes a commit: try it on a branch, without --dry-run"))
	}
	if branch, _ := git(ctx, root, "branch", "--show-current"); branch == "template" {
		return process.Usage(errors.New("the branch template is what updates are compared with: git checkout main first"))
	}
	work, err := os.MkdirTemp("", "seam-update-")
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = errors.New("interrupted; git merge --abort undoes a merge that has begun")
		}
		err = errors.Join(err, os.RemoveAll(work))
	}()
	u := &updater{root: root, work: work, product: p, had: p, anyway: *anyway}
	if u.base, err = u.lastRendering(ctx, *from); err != nil {
		return err
	}
	if *of != "" {
		u.product.Template.Source = where(".", *of)
	}
	commit, err := u.render(ctx, *to)
	switch {
	case err != nil:
		return err
	case commit == "":
		fmt.Printf("Nothing is new: this product has %s of %s; --template names another place.\n", u.product.Template.Version, u.product.Template.Source)
		return nil
	case *dry:
		return u.preview(ctx, commit)
	}
	return u.merge(ctx, commit)
}

// product returns the root and the record of the product around this folder. It may have been made
// by another seam command than this.
func product(ctx context.Context) (root string, p template.Product, err error) {
	if root, err = git(ctx, ".", "rev-parse", "--show-toplevel"); err == nil {
		p, err = readRecord(root)
	}
	if err != nil {
		return "", p, process.Usage(fmt.Errorf("%w: seam update is for products of seam new", err))
	}
	return root, p, committed(ctx, root)
}

func readRecord(root string) (p template.Product, err error) {
	text, err := os.ReadFile(filepath.Join(root, template.Record)) //nolint:gosec // the repository's own
	if err == nil {
		err = yaml.Unmarshal(text, &p)
	}
	return p, err
}

// updater updates one product.
type updater struct {
	root, work string
	base       string // the commit of what the template made when it was merged last
	product    template.Product
	had        template.Product // product before it was changed
	carried    string           // the version of the template that this command carries, if it is that
	anyway     bool             // take a version that does not come after the product's
}

// trailer ends the message of each commit that is what the template makes. The template's version
// and the commit's tree follow.
const trailer = "Seam-Template: "

func renderingOf(p template.Product, tree string) string {
	return trailer + p.Template.Version + " " + tree
}

// lastRendering returns the newest commit in this history that is what the template made. Without
// one it makes that of an older template, and records that what it has is in the product already.
func (u *updater) lastRendering(ctx context.Context, from string) (commit string, err error) {
	commits, err := git(ctx, u.root, "log", "--format=%H %T %(trailers:key=Seam-Template,valueonly,separator=)", "--grep=^"+trailer, "HEAD")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(commits) {
		words := strings.Fields(line)
		made := words[2:]                         // the version, and the tree, unless an earlier release has made the commit
		if len(made) < 2 || made[1] == words[1] { // else a person has amended or squashed it
			if from != "" {
				return "", process.Usage(fmt.Errorf("this history has what the template made, as %s: leave --from out", words[0]))
			}
			return words[0], nil
		}
	}
	folder, version, _ := strings.Cut(from, "#")
	if version == "" {
		return "", process.Usage(errors.New("this history has no commit that is as seam new or seam update has made it: " +
			"say by --from FOLDER#VERSION what the product was made of"))
	}
	at, err := u.get(ctx, "base", where(".", folder), version)
	if err != nil {
		return "", err
	}
	made, err := u.make(ctx, at)
	if err != nil {
		return "", err
	}
	if commit, err = u.fetch(ctx, made); err != nil {
		return "", err
	}
	return commit, gitEach(ctx, u.root, committing(ctx, "merge", "--strategy=ours", "--allow-unrelated-histories", "--message",
		"The template that this was made of", commit))
}

// fetch gets the commit of a product that was made.
func (u *updater) fetch(ctx context.Context, made string) (commit string, err error) {
	if _, err := git(ctx, u.root, "fetch", "--quiet", "--no-tags", made, "template"); err != nil {
		return "", err
	}
	return git(ctx, u.root, "rev-parse", "FETCH_HEAD")
}

// render commits what the template makes now on top of the last, and returns the commit, or nothing
// if that is the same.
func (u *updater) render(ctx context.Context, version string) (commit string, err error) {
	at, err := u.get(ctx, "newer", u.product.Template.Source, version)
	if err != nil {
		return "", err
	}
	if err := u.comesAfter(ctx, at); err != nil && !u.anyway {
		return "", process.Usage(fmt.Errorf("%w; --anyway updates all the same", err))
	}
	if u.product.Template.Version, err = u.version(ctx, at); err != nil {
		return "", err
	}
	if u.product.Template == u.had.Template && !u.anyway {
		return "", nil
	}
	made, err := u.make(ctx, at)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(u.product)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(made, template.Record), []byte(template.RecordHead+string(text)), 0o644); err != nil { //nolint:gosec // as others
		return "", err
	}
	if err := gitEach(ctx, made, []string{"checkout", "--quiet", "template"}, addAll(),
		committing(ctx, "commit", "--quiet", "--amend", "--no-edit")); err != nil {
		return "", err
	}
	rendered, err := u.fetch(ctx, made)
	if err != nil {
		return "", err
	}
	tree, err := git(ctx, u.root, "rev-parse", rendered+"^{tree}")
	if err != nil {
		return "", err
	}
	if was, err := git(ctx, u.root, "rev-parse", u.base+"^{tree}"); err != nil || was == tree {
		return "", err
	}
	message := "The template's changes\n\n" + renderingOf(u.product, tree)
	return git(ctx, u.root, committing(ctx, "commit-tree", tree, "-p", u.base, "-m", message)...)
}

// preview says what the merge would change.
func (u *updater) preview(ctx context.Context, commit string) error {
	changed, err := git(ctx, u.root, "diff", "--stat=120", u.base, commit)
	if err != nil {
		return err
	}
	fmt.Println("The template has changed:\n " + changed)
	command := exec.CommandContext(ctx, "git", "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "HEAD", commit) //nolint:gosec // ours
	command.Dir = u.root
	out, err := command.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || failed.ExitCode() != 1) { // 1 says that there are conflicts
		return fmt.Errorf("try the merge: %w", err)
	}
	conflicts := slices.DeleteFunc(fieldsOf(string(out))[1:], u.writtenAnew) // after the tree
	if len(conflicts) == 0 {
		fmt.Println("It would merge without a conflict.")
		return nil
	}
	fmt.Println("It would conflict in:\n  " + strings.Join(conflicts, "\n  "))
	return nil
}

// fieldsOf returns the names in what git prints with -z.
func fieldsOf(out string) []string {
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 })
}

// merge merges the commit, and writes what follows from the modules if nothing conflicts.
func (u *updater) merge(ctx context.Context, commit string) error {
	message := "Update to the template " + u.product.Template.Version
	_, failed := git(ctx, u.root, committing(ctx, "merge", "--quiet", "--no-ff", "--no-commit", "--message", message, commit)...)
	if _, err := git(ctx, u.root, "rev-parse", "--verify", "--quiet", "MERGE_HEAD"); err != nil {
		return fmt.Errorf("git did not begin the merge: %w", failed)
	}
	conflicts, err := u.conflicts(ctx)
	if err != nil {
		return err
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("both sides have changed these files:\n  %s\nresolve them, run make generate, then git add and git commit; "+
			"or git merge --abort", strings.Join(conflicts, "\n  "))
	}
	fmt.Println("Writing what follows from the modules …")
	if err := watched(os.Stdout, goCommand(ctx, u.root, "run", "./tools/seam", "generate", "--tidy")); err != nil {
		return fmt.Errorf("the merge is not committed, because it does not build: correct it, then git add and git commit; "+
			"or git merge --abort: %w", err)
	}
	if err := gitEach(ctx, u.root, []string{"add", "--all"}, committing(ctx, "commit", "--quiet", "--no-edit")); err != nil {
		return err
	}
	if _, err := git(ctx, u.root, "branch", "--force", "template", commit); err != nil { // another worktree has it
		fmt.Printf("The branch template stays where it is, and no update needs it: %v\n", err)
	}
	changed, err := git(ctx, u.root, "diff", "--shortstat", "HEAD^1", "HEAD")
	fmt.Printf("Updated to the template %s: %s. make check and make test say whether all holds.\n", u.product.Template.Version, strings.TrimSpace(changed))
	return err
}

// conflicts returns the files that git could not merge, but for those that are written anew after
// the merge, of which it takes this side.
func (u *updater) conflicts(ctx context.Context) (left []string, err error) {
	out, err := git(ctx, u.root, "diff", "-z", "--name-only", "--diff-filter=U")
	if err != nil {
		return nil, err
	}
	for _, file := range fieldsOf(out) {
		if u.writtenAnew(file) && gitEach(ctx, u.root, []string{"checkout", "--ours", "--", file}, []string{"add", "--", file}) == nil {
			continue
		}
		left = append(left, file)
	}
	return left, nil
}

// writtenAnew reports whether a file of the product follows from others, and is written after a
// merge.
func (u *updater) writtenAnew(file string) bool {
	_, made := os.Stat(filepath.Join(u.root, file+".tmpl"))
	contract := strings.HasPrefix(file, "architecture/contracts/") && !strings.HasPrefix(file, "architecture/contracts/released/")
	_, there := os.Stat(filepath.Join(u.root, file))
	return there == nil && (made == nil || path.Base(file) == "go.sum" || contract)
}
