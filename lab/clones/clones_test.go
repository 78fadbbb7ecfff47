// Package clones makes products of this repository by seam new, and tests them as their owners do:
// in folders that know nothing of this one.
package clones

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var seam string // the command, built from this tree

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "clones-")
	if err == nil {
		seam = filepath.Join(dir, "seam")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", seam, "example.com/shop/tools/seam").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s", out)
		}
	}
	code := 2
	if err == nil {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// long skips a test that takes minutes, unless the long suite runs.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("SEAM_LONG") == "" {
		t.Skip("SEAM_LONG is not set: make long SUITE=clones runs it")
	}
}

// repo is a repository in a folder of its own.
type repo struct {
	t   *testing.T
	dir string
}

// template returns a copy of this repository as it is now, committed or not, with one commit.
func template(t *testing.T) repo {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	r := repo{t, filepath.Join(folder(t), "template")}
	if err := os.Mkdir(r.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's user enters it
		t.Fatal(err)
	}
	r.run("sh", "-ec", `cd "$1" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do
		[ ! -e "$f" ] || printf '%s\0' "$f"; done | tar -cf - --null -T - | tar -xf - -C "$2"`, "sh", root, r.dir)
	r.run("git", "init", "--quiet", "--initial-branch=main")
	r.commit("The template")
	return r
}

// folder returns a temporary folder that PostgreSQL's user can enter.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "clones-")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // as it has to be
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (r repo) commit(message string) {
	r.t.Helper()
	r.run("git", "add", "--all")
	r.run("git", "-c", "user.name=ada", "-c", "user.email=ada@mail.example", "commit", "--quiet", "--message", message)
}

// run runs a command there, which must succeed, and returns what it prints.
func (r repo) run(name string, args ...string) string {
	r.t.Helper()
	out, err := r.try(name, args...)
	if err != nil {
		r.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (r repo) try(name string, args ...string) (string, error) {
	if name == "bash" || name == "sh" {
		name = "bash" // read -d
	}
	command := exec.CommandContext(r.t.Context(), name, args...)
	command.Dir = r.dir
	command.Env = append(os.Environ(), "GOWORK=", "GOFLAGS=", "SEAM_LONG=") // a product's make test is short
	out, err := command.CombinedOutput()
	return string(out), err
}

// product makes a product of the template.
func (r repo) product(at, modulePath string, more ...string) repo {
	r.t.Helper()
	p := repo{r.t, filepath.Join(folder(r.t), at)}
	r.run(seam, append([]string{"new", p.dir, "--module", modulePath}, more...)...)
	return p
}

// An empty product speaks of nothing that was not kept, keeps its own rules, and runs: an entry's
// event reaches its handler, and its job is done, in processes apart and, in the long suite, in
// one. Its folder has a space.
func TestAnEmptyProduct(t *testing.T) {
	p := template(t).product("my loans/app", "acme.example/loans", "--empty")
	p.speaksOfNo(`shop`, `example\.com`, `orders(api|migrations|sim)?`, `inventory(api|migrations|sim)?`,
		`payments?(api|migrations|sim)?`, `notifications?(api|migrations|sim)?`, `skus?`, `tok_\w+`)
	code := p.run("sh", "-ec", `git ls-files modules/*.go | grep -v _test.go | grep -v /internal/ | xargs cat | grep -cvE '^[[:space:]]*(//|$)'`)
	if n, err := strconv.Atoi(strings.TrimSpace(code)); err != nil || n == 0 || n >= 150 {
		t.Errorf("its module shows each door in %s lines of code, %v: want fewer than 150", code, err)
	}
	p.run("make", "build")
	p.run("go", "test", "-short", "./architecture")
	splits := []string{"all"}
	if os.Getenv("SEAM_LONG") != "" {
		splits = append(splits, "")
	}
	for _, split := range splits {
		p.run("sh", "-ec", "SPLIT="+split+" test/accept.sh")
	}
	if status := p.run("git", "status", "--porcelain"); status != "" {
		t.Errorf("building it and its tests leave behind:\n%s", status)
	}
}

// speaksOfNo refuses words in any file that git knows of, whole and in any casing, but its own
// name, which is its template's too, if that is a product of the same name.
func (r repo) speaksOfNo(words ...string) {
	r.t.Helper()
	for _, word := range words {
		if strings.Contains(r.read(".seam.yaml"), "\nname: "+word+"\n") {
			continue
		}
		of := regexp.MustCompile(`(?i)\b(` + word + `|` + word + `_\w+)\b`)
		for name := range strings.SplitSeq(strings.TrimSpace(r.run("git", "ls-files")), "\n") {
			text, err := fs.ReadFile(os.DirFS(r.dir), name)
			if err != nil {
				r.t.Fatal(err)
			}
			n := 0
			for line := range strings.Lines(string(text)) {
				if n++; of.MatchString(line) {
					r.t.Errorf("%s:%d speaks of %s: %s", name, n, word, strings.TrimSpace(line))
				}
			}
		}
	}
}
