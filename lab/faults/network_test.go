package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/pgserver"
)

// aside is the address of PostgreSQL or the broker for the service that will be cut off; all others
// use 127.0.0.1. It needs no setup: lo has all of 127.0.0.0/8.
const aside = "127.0.0.2"

// blackHole drops every packet from and to aside on arrival, also of open connections, so that
// neither end gets an error: no RST, no ICMP, none from the sender's own firewall.
const blackHole = `iptables -A INPUT -s ` + aside + ` -j DROP && iptables -A INPUT -d ` + aside + ` -j DROP`

// ownNetwork is set for a test that runs in a network of its own.
const ownNetwork = "SEAM_OWN_NETWORK"

// inOwnNetwork runs the test again, as a process in a network namespace of its own, where a cut
// affects nothing else. It returns true there, and false here once that is over.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(ownNetwork) != "" {
		return true
	}
	if why := cannotCut(t); why != nil {
		t.Skipf("a network of its own to cut cannot be made: %v", why)
	}
	limit := 10 * time.Minute
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) - 5*time.Second // so that it ends first, with its own report
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := child.Start(child.Options{
		Name: "cut", Path: "unshare", Out: t.Output(),
		Args: []string{"--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", self,
			"-test.v", "-test.run=^" + t.Name() + "$", "-test.timeout=" + limit.String()},
		Env: append(os.Environ(), ownNetwork+"=1", "SEAM_BIN="+bin),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
	return false
}

// cannotCut tries to cut a network, and returns why that is impossible.
func cannotCut(t *testing.T) error {
	t.Helper()
	if runtime.GOOS != "linux" {
		return fmt.Errorf("it takes Linux's network namespaces, and this is %s", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return errors.New("only root may")
	}
	for _, program := range []string{"unshare", "ip", "iptables"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s here", program)
		}
	}
	if !pgserver.Installed() {
		return errors.New("PostgreSQL is not installed, and one in a container would be in another network")
	}
	said, err := exec.CommandContext(t.Context(), "unshare", "--net", "sh", "-c", blackHole).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the kernel refuses: %w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

// cut begins to drop packets, and heal ends it. Only call it in a network of our own.
func cut(t *testing.T) { t.Helper(); firewall(t, blackHole) }

func heal(t *testing.T) { t.Helper(); firewall(t, "iptables -F INPUT") }

func firewall(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
}
