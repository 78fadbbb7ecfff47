package move

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/shop/platform/postgres"
)

// The coordinator is killed after each step, or frozen and woken up once another one has settled
// the move. Whatever has been reached, no order is refused, and one of the two sides is the home.
func TestACoordinatorThatDies(t *testing.T) {
	s := begin(t)
	const module = "orders"
	target := postgres.WithDatabase(s.target.URL(), module)
	move := func(verb string, more ...string) []string {
		return append([]string{"move", verb, module, "--to", target}, more...)
	}
	stop := s.customers(t, 50) // half of the time nothing is written, and then all of that at once
	s.seam(t, move("seed")...)
	for _, step := range []string{
		"gate", "way-back slot", "calm", "fence", "in flight", "drain", "sequences", "pin", "intent", "open", "standby", "verify", "forward off",
	} {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
			verb := s.next(t, move("status", "--json"))
			coordinator := s.command(t, move(verb)...)
			signalAfter(t, coordinator, step, signal)
			t.Logf("%s, %v after %s: %s%s", verb, signal, step, s.seam(t, move("status")...), s.seam(t, move("recover")...))
			_ = coordinator.Process.Signal(syscall.SIGCONT)
			_ = coordinator.Wait() // it is killed, or has lost
			time.Sleep(between)
		}
	}
	orders := stop()
	if s.next(t, move("status", "--json")) == "back" {
		s.seam(t, move("back")...)
	}
	s.check(t, len(orders))
}

// next returns the verb that moves the data from where it is. There must be one home, and nothing
// wrong.
func (s *shop) next(t *testing.T, status []string) (verb string) {
	t.Helper()
	var is struct {
		Home  string
		Wrong []string
		Sides []struct {
			Address, State string
			Writable       bool
		}
	}
	if err := json.Unmarshal([]byte(s.seam(t, status...)), &is); err != nil {
		t.Fatal(err)
	}
	writable := 0
	for _, side := range is.Sides {
		if side.Writable {
			writable++
		}
	}
	if is.Home == "" || len(is.Wrong) > 0 || writable != 1 {
		t.Fatalf("the status is %+v", is)
	}
	if is.Home == is.Sides[0].Address {
		return "switch"
	}
	return "back"
}

// signalAfter starts the command, and sends it the signal when it says that the step has ended.
func signalAfter(t *testing.T, command *exec.Cmd, step string, signal os.Signal) {
	t.Helper()
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "  "+step+" ") {
			if err := command.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("it does not get to %s: %v", step, command.Wait())
}
