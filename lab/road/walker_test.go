package road

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/postgres"
)

// walker is a shell in a copy of the repository.
type walker struct {
	t       *testing.T
	module  string
	dir     string
	ports   map[string]int // by those of the page
	pages   map[string][]string
	in      io.Writer
	out     *bufio.Reader
	said    string // by the block that was run last
	db      *pgxpool.Pool
	target  *pgxpool.Pool // where the module's data goes
	placed  atomic.Int64
	refused atomic.Int64
}

// ports of the page. Those of operators' pages are 100 above.
var onPage = []string{"8080", "8082", "8090", "8094"}

func begin(t *testing.T, module string) *walker {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	w := &walker{t: t, module: module, ports: map[string]int{}, pages: blocks(t, filepath.Join(root, "deploy/EXTRACT.md"))}
	if w.dir, err = os.MkdirTemp("", "road-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	copied := exec.CommandContext(t.Context(), "bash", "-ec",
		`git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
		tar -cf - --null -T - | tar -xf - -C "$1"; cd "$1"; git init --quiet; git add --all; git -c user.name=ada -c user.email=ada@mail.example commit --quiet -m template`,
		"bash", w.dir)
	copied.Dir = root
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("copy the repository: %v\n%s", err, out)
	}
	for _, port := range onPage {
		w.ports[port] = w.twoPorts()
	}
	if w.ports["4222"], err = freeport.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	routes := filepath.Join(w.dir, "deploy/routes.yaml")
	text, err := os.ReadFile(routes)
	if err == nil {
		err = os.WriteFile(routes, []byte(w.onFreePorts(string(text))), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	var database, target string
	database, w.db = w.server("shop")
	target, w.target = w.server(module)
	w.shell("MODULE="+module, "DATABASE_URL="+database, "TARGET_URL="+target, "SEAM_STATE="+filepath.Join(w.dir, ".road/state"),
		fmt.Sprintf("NATS_URL=nats://127.0.0.1:%d", w.ports["4222"]), fmt.Sprintf("INVENTORY_URL=http://127.0.0.1:%d", w.ports["8082"]),
		"LOG_FORMAT=text",
		"GIT_AUTHOR_NAME=ada", "GIT_AUTHOR_EMAIL=ada@mail.example", "GIT_COMMITTER_NAME=ada", "GIT_COMMITTER_EMAIL=ada@mail.example")
	return w
}

// server starts a PostgreSQL server and returns the URL of a database, which need not be there, and
// its pool.
func (w *walker) server(database string) (string, *pgxpool.Pool) {
	w.t.Helper()
	server, err := pgserver.Start(w.t.Context(), pgserver.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(w.t.Context())) })
	url := postgres.WithDatabase(server.URL(), database)
	pool, err := pgxpool.New(w.t.Context(), url)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return url, pool
}

// blocks returns the shell commands of the page by heading, those of steps with the step's number.
func blocks(t *testing.T, page string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	heading, step := "", ""
	for _, m := range regexp.MustCompile("(?ms)^## (.*?)$|^([0-9])\\. |^ *```sh\n(.*?)^ *```$").FindAllStringSubmatch(string(text), -1) {
		switch {
		case m[1] != "":
			heading, step = m[1], ""
		case m[2] != "":
			step = m[2]
		default:
			found[heading] = append(found[heading], step+"\n"+m[3])
		}
	}
	return found
}

// twoPorts returns a free port whose port for operators, 100 above, is free as well.
func (w *walker) twoPorts() int {
	w.t.Helper()
	for range 100 {
		port, err := freeport.Find(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if freeport.Check(w.t.Context(), port+100) == nil {
			return port
		}
	}
	w.t.Fatal("no two free ports")
	return 0
}

// shell starts the shell in which all blocks run. What it has started ends with the test.
func (w *walker) shell(env ...string) {
	w.t.Helper()
	command := exec.Command("bash") //nolint:noctx // it is killed with all that it has started
	command.Dir, command.Env = w.dir, append(os.Environ(), append(env, "SPLIT=", "CANARY=", "DATABASES=", "PORT=0")...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := command.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	command.Stdout, command.Stderr = write, write
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = write.Close()
	w.in, w.out = in, bufio.NewReader(read)
	w.t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		_ = command.Wait()
		_ = read.Close()
	})
}

// walk runs the blocks of the headings; those of "Out: 2" are from step 2 on.
func (w *walker) walk(headings ...string) {
	w.t.Helper()
	for _, heading := range headings {
		heading, from, _ := strings.Cut(heading, ": ")
		if len(w.pages[heading]) == 0 {
			heading, from = heading+": "+from, ""
		}
		if len(w.pages[heading]) == 0 {
			w.t.Fatalf("the page has no commands below %q", heading)
		}
		for _, block := range w.pages[heading] {
			step, commands, _ := strings.Cut(block, "\n")
			if step >= from {
				w.run(heading+" "+step, commands)
			}
		}
	}
}

// onFreePorts returns a text with other ports, and with a pause at each weight.
func (w *walker) onFreePorts(text string) string {
	for _, port := range onPage {
		for operators := range 2 {
			number, _ := strconv.Atoi(port)
			text = strings.ReplaceAll(text, fmt.Sprint(number+100*operators), fmt.Sprint(w.ports[port]+100*operators))
		}
	}
	text = regexp.MustCompile(`(?m)^( *bin/seam route (?:set|rollback).*)$`).ReplaceAllString(text, "$1\nsleep 2") // of load at each weight
	text = strings.ReplaceAll(text, "bin/sandbox serve", "bin/sandbox serve --free-ports")
	return strings.ReplaceAll(text, "bin/seam broker", fmt.Sprint("bin/seam broker --port ", w.ports["4222"]))
}

// run runs a block's commands one after the other, each of which must succeed.
func (w *walker) run(name, commands string) {
	w.t.Helper()
	commands = w.onFreePorts(commands)
	const ended = "the block has ended with "
	began := time.Now()
	if _, err := fmt.Fprintf(w.in, "set -e\ntrap 'code=$?; echo; echo \"%s$code\"' EXIT\n%s\ntrap - EXIT; set +e; echo; echo '%[1]s0'\n", ended, commands); err != nil {
		w.t.Fatal(err)
	}
	var said strings.Builder
	for {
		line, err := w.out.ReadString('\n')
		if code, ok := strings.CutPrefix(strings.TrimSpace(line), ended); ok {
			w.said = said.String()
			w.t.Logf("%s, %s:\n%s", name, time.Since(began).Round(time.Millisecond), w.said)
			if code != "0" {
				w.t.Fatalf("%s ended with %s", name, code)
			}
			return
		}
		said.WriteString(line)
		if err != nil {
			w.t.Fatalf("%s: the shell has ended: %v\n%s", name, err, said.String())
		}
	}
}
