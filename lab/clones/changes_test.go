package clones

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Modules that come and go in any order leave a product that builds and keeps its rules.
func TestModulesComeAndGo(t *testing.T) {
	long(t)
	p := template(t).product("loans", "acme.example/loans", "--empty")
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be repeated
		names := []string{"ferries", "harbour", "weather"}
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		topics := []string{"notes.added.v1"}
		for _, name := range names {
			args := []string{"module", "add", name, "--publishes", name + ".begun.v1"}
			if listens := topics[random.IntN(len(topics)):]; random.IntN(4) > 0 {
				args = append(args, "--listens", strings.Join(listens, ","))
			}
			p.run(p.seam(), args...)
			p.commit(fmt.Sprintf("%d: %s", seed, strings.Join(args, " ")))
			topics = append(topics, name+".begun.v1")
		}
		p.holds()
		for left := names; len(left) > 0; {
			i := random.IntN(len(left))
			if out, err := p.try(p.seam(), "module", "remove", left[i]); err != nil {
				if !strings.Contains(out, "others need it") {
					t.Fatalf("seed %d: remove %s: %s", seed, left[i], out)
				}
				continue
			}
			p.commit(fmt.Sprintf("%d: remove %s", seed, left[i]))
			left = slices.Delete(slices.Clone(left), i, i+1)
			p.holds()
		}
	}
}

// A module that leaves the monolith for good leaves a product that keeps its rules, builds and runs
// as a monolith and a process of the module's. What fails is undone, and git revert brings it back.
func TestAModuleLeavesForGood(t *testing.T) {
	long(t)
	p := template(t).product("loans", "acme.example/loans", "--empty")
	p.run("git", "config", "user.name", "ada")
	p.run("git", "config", "user.email", "ada@mail.example")
	p.run(p.seam(), "module", "add", "ferries", "--listens", "notes.added.v1", "--publishes", "ferries.sailed.v1")
	p.commit("Ferries")
	p.run(p.seam(), "module", "add", "harbour", "--listens", "ferries.sailed.v1")
	const ledger = "deploy/extractions.yaml"
	p.edit(ledger, "extractions: []\n", `extractions:
  - module: harbour
    trigger: isolation
    measurement: 3 faults a month reach the rest; 0 once it stands alone (incidents of 2026-02)
    owner: grace
    state: data moved
    moved: 2026-05-15 7443210987654321098/harbour epoch 2, 41000 rows in 12 tables, checksum 0123456789abcdef
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: 2026-05-15, decommissioned: 2126-06-30}
    dual_run_ends: 2026-04-10
`)
	const uses = "cmd/monolith/uses_test.go"
	p.write(uses, "package main\n\nvar _ = config{}.Harbour\n")
	p.commit("Harbour, and its extraction")
	out, err := p.try(p.seam(), "module", "detach", "harbour")
	if err == nil || !strings.Contains(out, "nothing is changed") || !strings.Contains(out, "uses_test.go") || p.run("git", "status", "--porcelain") != "" {
		t.Fatalf("what does not build: %v: %s", err, out)
	}
	p.run("git", "rm", "--quiet", uses)
	p.commit("Nothing uses it")

	t.Log(p.run(p.seam(), "module", "detach", "harbour"))
	p.holds()
	p.commit("Harbour has left")
	p.run("make", "build")
	p.run("sh", "-ec", "SPLIT= test/accept.sh")
	if status := p.run("git", "status", "--porcelain"); status != "" {
		t.Errorf("what follows from the modules was not written:\n%s", status)
	}
	p.run("git", "revert", "--no-edit", "HEAD")
	p.holds()
}

// holds builds the product, vets it, and checks its rules.
func (r repo) holds() {
	r.t.Helper()
	r.run("go", "vet", "work")
	r.run("go", "test", "-short", "./architecture")
}

// Ten releases of the template come into a product that has changed as well, and has a module of
// its own: by themselves, unless both have changed the same lines.
func TestUpdates(t *testing.T) {
	long(t)
	from := template(t)
	p := from.product("loans", "acme.example/loans", "--empty")
	p.run("git", "config", "user.name", "ada")
	p.run("git", "config", "user.email", "ada@mail.example")
	p.run(p.seam(), "module", "add", "ferries", "--listens", "notes.added.v1", "--publishes", "ferries.sailed.v1")
	p.commit("Ferries")
	own := p.run("git", "ls-tree", "-r", "HEAD", "modules/ferries")
	const worker, seed, gateway = "platform/worker/worker.go", "platform/postgres/testdata/fuzz/FuzzURL/user", "cmd/gateway/table.go"
	for n, release := range []struct {
		what      string
		template  func(r repo) // changes it
		product   func(r repo) // has changed since the release before
		conflicts string
	}{
		{"nothing but a line", func(r repo) { r.edit(worker, "// Package worker runs", "// Package worker always runs") }, nil, ""},
		{"a file moves, which the product has edited", func(r repo) { r.run("git", "mv", worker, "platform/worker/loop.go") },
			func(r repo) { r.append(worker, "\n// An own line.\n") }, ""},
		{"a file is deleted", func(r repo) { r.run("git", "rm", "--quiet", seed) }, nil, ""},
		{"a signature changes", func(r repo) {
			r.run("sh", "-ec", `grep -rl 'worker\.New(' --include=*.go . | xargs sed -i 's/worker\.New(/worker.Make(/'`)
			r.edit("platform/worker/loop.go", "func New(", "func Make(")
			r.run("sh", "-ec", `sed -i 's/ New(/ Make(/; s/:= New(/:= Make(/' platform/worker/*_test.go`)
		}, nil, ""},
		{"the wiring is touched", func(r repo) {
			r.edit("cmd/monolith/main.go", "// wire is the composition root:", "// wire is the root:")
		}, nil, ""},
		{"what follows from the modules changes", func(r repo) { r.edit("deploy/compose.yaml.tmpl", "start_period: 60s", "start_period: 61s") }, nil, ""},
		{"the template of modules changes, not modules", func(r repo) {
			r.edit("tools/template/module/modules/NAME/entry.go.tmpl", "// The states of an entry:", "// States of an entry:")
		}, nil, ""},
		{"both change a line", func(r repo) { r.edit(gateway, "package main", "package main // theirs") },
			func(r repo) { r.edit(gateway, "package main", "package main // ours") }, gateway},
		{"a library is newer", func(r repo) { r.edit("Makefile", "# Tools, pinned here and nowhere else.", "# Tools, pinned here.") }, nil, ""},
		{"the template renames a rule's page", func(r repo) { r.append("architecture/README.md", "\nA last line.\n") },
			func(r repo) { r.edit("architecture/contextmap.yaml", "ferries:", "# The ferries.\nferries:") }, ""},
	} {
		t.Log(release.what)
		release.template(from)
		from.commit(release.what)
		if release.product != nil {
			release.product(p)
			p.commit("Own: " + release.what)
		}
		before := p.run("git", "rev-parse", "HEAD")
		p.run(p.seam(), "update", "--dry-run")
		if after := p.run("git", "rev-parse", "HEAD"); after != before || p.run("git", "status", "--porcelain") != "" {
			t.Errorf("%d: a dry run has changed the product", n)
		}
		out, err := p.try(p.seam(), "update")
		if release.conflicts != "" {
			if err == nil || !strings.Contains(out, "  "+release.conflicts) {
				t.Fatalf("%d, %s: %v: %s", n, release.what, err, out)
			}
			p.run("git", "merge", "--abort")
			if out, err = p.try(p.seam(), "update"); err == nil || !strings.Contains(out, "  "+release.conflicts) {
				t.Fatalf("%d: once more, after git merge --abort: %v: %s", n, err, out)
			}
			p.run("git", "checkout", "--ours", release.conflicts)
			p.commit("Resolved")
		} else if err != nil {
			t.Fatalf("%d, %s: %v: %s", n, release.what, err, out)
		}
		p.holds()
		if p.run("git", "ls-tree", "-r", "HEAD", "modules/ferries") != own {
			t.Errorf("%d, %s: it has touched a module of the product's own", n, release.what)
		}
		if out := p.run(p.seam(), "update"); !strings.Contains(out, "Nothing is new") {
			t.Errorf("%d: a second update: %s", n, out)
		}
	}
	if text := p.read("platform/worker/loop.go"); !strings.Contains(text, "An own line") || !strings.Contains(text, "func Make(") {
		t.Error("platform/worker/loop.go has not both sides")
	}
}

// A product without the branch template updates from the template that it was made of.
func TestUpdateWithoutHistory(t *testing.T) {
	long(t)
	from := template(t)
	was := strings.TrimSpace(from.run("git", "rev-parse", "HEAD"))
	p := from.product("loans", "acme.example/loans", "--empty")
	p.run("git", "checkout", "--quiet", "--orphan", "copy")
	p.edit("README.md", "# Loans", "# Our loans")
	p.commit("One commit")
	p.run("git", "branch", "--quiet", "-D", "main", "template")
	from.edit("cmd/gateway/table.go", "package main", "package main // newer")
	from.commit("Newer")
	if out, err := p.try(p.seam(), "update"); err == nil || !strings.Contains(out, "--from") {
		t.Errorf("without the branch: %v: %s", err, out)
	}
	p.run(p.seam(), "update", "--from", from.dir+"#"+was)
	if !strings.Contains(p.read("cmd/gateway/table.go"), "// newer") || !strings.Contains(p.read("README.md"), "# Our loans") {
		t.Error("it has not both sides")
	}
	if out, err := p.try(p.seam(), "update", "--to", was); err == nil || !strings.Contains(out, "is older than") {
		t.Errorf("to an older version: %v: %s", err, out)
	}
	p.run(p.seam(), "update", "--to", was, "--anyway")
	if strings.Contains(p.read("cmd/gateway/table.go"), "// newer") || !strings.Contains(p.read("README.md"), "# Our loans") {
		t.Error("it is not back, or has lost its own side")
	}
}

// seam builds the product's own command, and returns it.
func (r repo) seam() string {
	r.t.Helper()
	r.run("go", "build", "-o", "bin/", "./tools/seam")
	return filepath.Join(r.dir, "bin", "seam")
}

// A command that carries its template makes and updates products without a checkout of it.
func TestAReleasedCommand(t *testing.T) {
	long(t)
	from := template(t)
	release := func(name string) string {
		at := filepath.Join(folder(t), name)
		from.run("tools/release.sh", at)
		return at
	}
	first := release("first")
	p := repo{t, filepath.Join(folder(t), "loans")}
	repo{t, filepath.Dir(p.dir)}.run(first, "new", p.dir, "--module", "acme.example/loans", "--empty")
	if out := p.run(first, "update"); !strings.Contains(out, "Nothing is new") {
		t.Errorf("of the same release: %s", out)
	}
	from.edit("cmd/gateway/table.go", "package main", "package main // newer")
	from.commit("Newer")
	p.run(release("second"), "update")
	if !strings.Contains(p.read("cmd/gateway/table.go"), "// newer") {
		t.Error("it is not updated")
	}
	if out, err := p.try(p.seam(), "update"); err == nil || !strings.Contains(out, "carries none") {
		t.Errorf("by the product's own: %v: %s", err, out)
	}
}

func (r repo) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

func (r repo) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // as it was
		r.t.Fatal(err)
	}
}

func (r repo) append(name, text string) {
	r.t.Helper()
	r.write(name, r.read(name)+text)
}

func (r repo) edit(name, old, text string) {
	r.t.Helper()
	before := r.read(name)
	after := strings.Replace(before, old, text, 1)
	if after == before && old != text {
		r.t.Fatalf("%s has no %q", name, old)
	}
	r.write(name, after)
}
