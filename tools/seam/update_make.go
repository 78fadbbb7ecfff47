package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"example.com/shop/platform/process"
	"example.com/shop/tools/template"
)

// get clones a version of the template, and returns where.
func (u *updater) get(ctx context.Context, name, source, version string) (at string, err error) {
	at = filepath.Join(u.work, name)
	if source == template.CarriedSource {
		if source, err = u.unpack(ctx, version); err != nil {
			return "", err
		}
		version = ""
	}
	fmt.Println("Getting the template of", source, "…")
	if _, err := git(ctx, u.work, "clone", "--quiet", source, at); err != nil {
		return "", process.Usage(fmt.Errorf("get the template: %w; --template says where it is now", err))
	}
	if version != "" {
		if _, err := git(ctx, at, "checkout", "--quiet", "--detach", version); err != nil {
			return "", process.Usage(fmt.Errorf("the template has no version %s", version))
		}
	}
	return at, nil
}

// comesAfter refuses a clone of the template without the version that the product has in its
// history. A template that a command carries has no history, and is not asked.
func (u *updater) comesAfter(ctx context.Context, at string) error {
	had := u.product.Template.Version
	if u.carried != "" {
		return nil
	}
	if _, err := git(ctx, at, "merge-base", "--is-ancestor", had, "HEAD"); err == nil {
		return nil
	}
	if _, err := git(ctx, at, "merge-base", "--is-ancestor", "HEAD", had); err == nil {
		return fmt.Errorf("this version of the template is older than %s, which the product has: name a newer one by --to", had)
	}
	return fmt.Errorf("this version of the template does not come after %s, which the product has: its history was rewritten, "+
		"or it is of another clone, which --template names", had)
}

// make makes the product of a clone of the template, by the clone's own seam, and returns where.
func (u *updater) make(ctx context.Context, at string) (made string, err error) {
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
	return made, u.run(ctx, at, "go", args...)
}

// run runs a command in a folder; its output is the error's.
func (u *updater) run(ctx context.Context, dir, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // our own words
	command.Dir, command.Env = dir, append(os.Environ(), "GOWORK=", "GOFLAGS=")
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args[:min(3, len(args))], " "), err, out)
	}
	return nil
}

// unpack makes a repository of the template that this binary carries.
func (u *updater) unpack(ctx context.Context, version string) (folder string, err error) {
	files, carried, ok, err := template.Carried()
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", process.Usage(errors.New("this product was made by a seam command that carries its template, and this one carries none: " +
			"run a newer such command here, or say by --template where the template is"))
	case version != "":
		return "", process.Usage(fmt.Errorf("this seam command carries the template %s, and no other: leave --to out, or say where by --template", carried))
	}
	u.carried = carried
	folder = filepath.Join(u.work, "carried")
	err = files.Write(folder, nil)
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, committing(ctx, "commit", "--quiet", "--message", carried)} {
		if err == nil {
			_, err = git(ctx, folder, args...)
		}
	}
	return folder, err
}
