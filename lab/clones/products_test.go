package clones

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/shop/lab/ask"
)

// Every product passes its own make test and make check.
func TestProducts(t *testing.T) {
	long(t)
	from := template(t)
	for name, args := range map[string][]string{
		"all":                    {"acme.example/loans"},
		"all, with the lab":      {"acme.example/loans", "--lab"},
		"without notifications":  {"acme.example/loans", "--keep", "orders,inventory,payments"},
		"empty":                  {"acme.example/loans", "--empty"},
		"another name, and a v2": {"acme.example/my-loans/v2", "--empty"},
	} {
		t.Run(name, func(t *testing.T) {
			from := repo{t, from.dir}
			p := from.product(name, args[0], args[1:]...)
			p.run("make", "test")
			p.run("make", "check")
		})
	}
}

// A module is refused when others need it, with the lines that do.
func TestWhatIsRefused(t *testing.T) {
	from := template(t)
	if os.Remove(filepath.Join(from.dir, ".seam.yaml")) == nil { // this is a product, and is to be a template
		from.commit("A template")
	}
	before := from.run("git", "status", "--porcelain")
	for want, args := range map[string][]string{
		"cannot be kept without orders, inventory": {"new", from.dir + "/../x", "--module", "acme.example/loans", "--keep", "payments"},
		"--keep names no module":                   {"new", from.dir + "/../x", "--module", "acme.example/loans", "--keep", ""},
		"is no empty folder":                       {"new", from.dir, "--module", "acme.example/loans"},
		"is inside the repository":                 {"new", from.dir + "/x", "--module", "acme.example/loans"},
		"modules/inventory/events.go:":             {"module", "remove", "orders"},
		"uses paymentsapi.Captured":                {"module", "remove", "payments"},
		"the lab needs it":                         {"module", "remove", "notifications"},
		"is released":                              {"module", "rename", "payments", "charges"},
		"seam update is for products of seam new":  {"update"},
		"write seam module add NAME, remove NAME,": {"module", "add"},
		"has no entry for payments":                {"module", "detach", "payments"},
	} {
		out, err := from.try(seam, args...)
		code := 0
		if failed, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as exec returns it
			code = failed.ExitCode()
		}
		if code != 2 || !strings.Contains(out, want) {
			t.Errorf("seam %s: exit %d: %s\nwant %s", strings.Join(args, " "), code, out, want)
		}
	}
	if status := from.run("git", "status", "--porcelain"); status != before {
		t.Errorf("what is refused has changed:\n%s", status)
	}
}

// An entry whose process is killed at once is handled once, by the next process, in the monolith
// and in a process of its own.
func TestAnEventSurvivesAKill(t *testing.T) {
	long(t)
	p := template(t).product("loans", "acme.example/loans", "--empty")
	p.run("make", "build")
	for _, split := range []string{"", "all"} {
		state := folder(t)
		first := p.up(split, state)
		const n = 40 // with their events less than a page
		for range n {
			first.put()
		}
		served := "monolith"
		if split != "" {
			served = "notes"
		}
		first.kill(served)
		second := p.up(split, state)
		deadline := time.Now().Add(30 * time.Second)
		for own, handled := 0, 0; own != n || handled != n; own, handled = second.entries() {
			if time.Now().After(deadline) {
				t.Fatalf("SPLIT=%s: %d entries are done and %d events are handled, of %d", split, own, handled, n)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(4 * time.Second) // what would be handled twice is published again within three
		if own, handled := second.entries(); own != n || handled != n {
			t.Errorf("SPLIT=%s: later %d entries are done and %d events are handled, of %d", split, own, handled, n)
		}
		second.stop()
	}
}

// system is a product that runs.
type system struct {
	repo
	command *exec.Cmd
	ended   chan error
	url     string
	token   string
}

func (r repo) up(split, state string) *system {
	r.t.Helper()
	s := &system{repo: r, command: exec.Command("bin/seam", "up"), ended: make(chan error, 1)} //nolint:noctx // stopped below
	s.command.Dir = r.dir
	s.command.Env = append(os.Environ(), "SPLIT="+split, "SEAM_STATE="+state, "PORT=0")
	s.command.Stderr = os.Stderr
	out, err := s.command.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.stop)
	lines := bufio.NewScanner(out)
	tries := regexp.MustCompile(`(http://127\.0\.0\.1:\d+)/v1/notes/\S.*Bearer (\S+?)'`)
	for s.url == "" && lines.Scan() {
		if found := tries.FindStringSubmatch(lines.Text()); found != nil {
			s.url, s.token = found[1], found[2]
		}
	}
	if s.url == "" {
		r.t.Fatal("the product does not start")
	}
	go func() {
		for lines.Scan() {
		}
		s.ended <- s.command.Wait()
	}()
	return s
}

// put adds an entry.
func (s *system) put() {
	s.t.Helper()
	entry := ask.Request{Method: http.MethodPut, URL: s.url + "/v1/notes/" + uuid.NewString(), Token: s.token, Body: `{"text":"own"}`}
	if answer, err := entry.Send(s.t.Context(), http.DefaultClient); err != nil || answer.Status != http.StatusNoContent {
		s.t.Fatalf("put: %d, %v", answer.Status, err)
	}
}

// entries counts, in the database, those of requests and those of events, each once its job is
// done.
func (s *system) entries() (own, handled int) {
	s.t.Helper()
	var page struct {
		Items []struct{ Text, State string }
	}
	answer, err := ask.Request{URL: s.url + "/v1/notes"}.Send(s.t.Context(), http.DefaultClient)
	if err == nil {
		err = json.Unmarshal(answer.Body, &page)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range page.Items {
		switch {
		case e.State != "done":
		case e.Text == "own":
			own++
		default:
			handled++
		}
	}
	return own, handled
}

// kill kills the process of this command that seam up has started, and waits for seam up to end.
func (s *system) kill(name string) {
	s.t.Helper()
	out := s.run("pgrep", "--parent", fmt.Sprint(s.command.Process.Pid), "--full", "bin/"+name+" serve")
	var pid int
	if _, err := fmt.Sscan(out, &pid); err != nil {
		s.t.Fatalf("no process of %s: %q", name, out)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
	s.ended <- nil
}

func (s *system) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	err := <-s.ended
	s.ended <- err
}
