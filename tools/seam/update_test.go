package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/tools/template"
)

// history makes a repository with a commit for each file, and returns the commits.
func history(t *testing.T, dir string, files map[string]string, message string, more ...string) (commits []string) {
	t.Helper()
	run := func(args ...string) string {
		t.Helper()
		out, err := git(t.Context(), dir, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	run("init", "--quiet", "--initial-branch=main")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("add", "--all")
	for _, message := range append([]string{message}, more...) {
		run(committing(t.Context(), "commit", "--quiet", "--allow-empty", "--message", message)...)
		commits = append(commits, run("rev-parse", "HEAD"))
	}
	return commits
}

// An update goes forward: an older version of the template, and one of another history, are refused
// before anything is made of them.
func TestUpdate_ComesAfter(t *testing.T) {
	source, rewritten, product := t.TempDir(), t.TempDir(), t.TempDir()
	versions := history(t, source, nil, "Old", "Had", "New")
	history(t, rewritten, nil, "Old, as rewritten", "New")
	record := "template: {source: " + source + ", version: " + versions[1] + "}\nmodule: acme.example/loans\nname: loans\nkeep: []\n"
	history(t, product, map[string]string{template.Record: record}, "Made\n\n"+trailer+versions[1])
	moved := filepath.Join(t.TempDir(), "moved")
	if _, err := git(t.Context(), source, "clone", "--quiet", source, moved); err != nil {
		t.Fatal(err)
	}
	t.Chdir(product)
	const made = "run ./tools/seam new" // which there is not, in these templates
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a newer version":               {nil, made},
		"the same, from elsewhere":      {[]string{"--to", versions[1], "--template", moved}, made},
		"the same, as asked":            {[]string{"--to", versions[1], "--anyway"}, made},
		"an older one":                  {[]string{"--to", versions[0]}, "is older than " + versions[1]},
		"an older one, as asked":        {[]string{"--to", versions[0], "--anyway"}, made},
		"one of another history":        {[]string{"--template", rewritten}, "its history was rewritten"},
		"that, in a dry run":            {[]string{"--template", rewritten, "--dry-run"}, "its history was rewritten"},
		"one of another, and as asked":  {[]string{"--template", rewritten, "--anyway"}, made},
		"one that is not there, anyway": {[]string{"--to", "v7", "--anyway"}, "has no version v7"},
	} {
		if err := update(t.Context(), test.args); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
	if err := update(t.Context(), []string{"--to", versions[1]}); err != nil {
		t.Errorf("the version that it has: %v", err) // of which nothing can be made, in this template
	}
}

// A commit that a person has amended is not what the template made, though it says so: as a base, all
// that it adds would be taken away.
func TestAnAmendedCommitIsNoBase(t *testing.T) {
	dir := t.TempDir()
	made := history(t, dir, map[string]string{"a": "a"}, "First")
	tree, err := git(t.Context(), dir, "rev-parse", "HEAD^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	var p template.Product
	p.Template.Version = "v1"
	say := renderingOf(p, tree)
	made = append(made, history(t, dir, nil, "Made\n\n"+say)...)
	u := &updater{root: dir}
	if base, err := u.lastRendering(t.Context(), ""); err != nil || base != made[1] {
		t.Errorf("the base is %s, not %s: %v", base, made[1], err)
	}
	history(t, dir, map[string]string{"ours": "ours"}, "Squashed\n\n"+say)
	if base, err := u.lastRendering(t.Context(), ""); err != nil || base != made[1] {
		t.Errorf("the base is %s, not %s: %v", base, made[1], err)
	}
}

// Whatever a person has told git of untracked files, they are seen.
func TestCommitted(t *testing.T) {
	dir := t.TempDir()
	history(t, dir, map[string]string{"a": "a"}, "First")
	if _, err := git(t.Context(), dir, "config", "status.showUntrackedFiles", "no"); err != nil {
		t.Fatal(err)
	}
	if err := committed(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := committed(t.Context(), dir); err == nil {
		t.Error("a file that is not committed is not seen")
	}
}

// A product gets its updates from the template's origin, unless only the clone has what it was made
// of.
func TestSourceOf(t *testing.T) {
	t.Parallel()
	origin, above := t.TempDir(), t.TempDir()
	history(t, origin, nil, "Pushed")
	clone := filepath.Join(above, "clone")
	run := func(dir string, args ...string) {
		t.Helper()
		if _, err := git(t.Context(), dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what, want string) {
		t.Helper()
		if from := sourceOf(t.Context(), clone); from != want {
			t.Errorf("%s: from %s, want %s", what, from, want)
		}
	}
	run(above, "clone", "--quiet", origin, clone)
	check("a commit of the origin", origin)
	run(clone, committing(t.Context(), "commit", "--quiet", "--allow-empty", "--message", "Ours")...)
	check("a commit of the clone", clone)
	run(clone, "push", "--quiet", "origin", "HEAD:refs/heads/ours")
	check("once it is pushed", origin)
	run(clone, "remote", "remove", "origin")
	check("without an origin", clone)
}

// A relative folder is where it was when it was given, whatever folder git runs in.
func TestWhere(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for repository, want := range map[string]string{
		"../seam": here, here: here,
		"https://ada:secret@git.example/lamps": "https://git.example/lamps", "git@git.example:lamps": "git@git.example:lamps",
	} {
		if got := where(".", repository); got != want {
			t.Errorf("%s is %s, want %s", repository, got, want)
		}
	}
}
