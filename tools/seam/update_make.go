package main

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	return fmt.Errorf("this version of the template does not come after %s, which the product has: git pull there, if it is a clone "+
		"that is behind; or its history was rewritten, or it is of another clone, which --template names", had)
}

// version names the version of the template that was got.
func (u *updater) version(ctx context.Context, at string) (string, error) {
	if u.carried != "" {
		return u.carried, nil
	}
	return versionOf(ctx, at)
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
	if err := watched(os.Stdout, goCommand(ctx, at, args...)); err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(args[:3], " "), err)
	}
	return made, nil
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
	if err := files.Write(folder, nil); err != nil {
		return "", err
	}
	return folder, gitEach(ctx, folder, []string{"init", "--quiet"}, addAll(),
		committing(ctx, "commit", "--quiet", "--message", carried))
}
