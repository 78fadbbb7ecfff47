package attacks

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/shop/tools/topology"
)

// A process that nobody has told where it runs refuses all that suits a laptop alone, and says what
// to set, but no secret. Its twin is told that it is development, and serves.
func TestAProcessThatIsToldNothingIsInProduction(t *testing.T) {
	s := ourShop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	serve := func(program string, env ...string) *exec.Cmd {
		command := exec.CommandContext(ctx, filepath.Join(bin, program), "serve") //nolint:gosec // ours
		command.Env = slices.Concat(s.Addresses(), s.Outside.Settings, []string{
			"AUTH_PUBLIC_KEY=" + s.Key.PublicPEM(), "SERVICE_TOKEN=" + topology.ServiceToken(s.Key), "BUS=nats",
			"HTTP_ADDR=127.0.0.1:0", "OPS_ADDR=127.0.0.1:0", "DRAIN_AFTER=0s",
		}, env)
		return command
	}

	var said bytes.Buffer
	elsewhere := "PAYMENTS_DATABASE_URL=postgres://payments_rt:s3cret@db.example/shop?sslmode=disable"
	refused := serve("monolith", elsewhere)
	refused.Stderr = &said
	if err := refused.Run(); err == nil || refused.ProcessState.ExitCode() != 2 {
		t.Errorf("it ended with %v, want exit code 2", err)
	}
	for _, setting := range []string{
		"AUTH_ISSUER", "PAYMENTS_NATS_SEED", "PAYMENTS_DATABASE_URL", "PAYMENTS_PROVIDER_URL", "PAYMENTS_PROVIDER_SECRET", "NOTIFICATIONS_SMTP_TLS",
	} {
		if !strings.Contains(said.String(), "\n  "+setting) {
			t.Errorf("it says nothing of %s:\n%s", setting, said.String())
		}
	}
	if strings.Contains(said.String(), "s3cret") || strings.Contains(said.String(), "ORDERS_DATABASE_URL") {
		t.Errorf("it prints a secret, or refuses the loopback:\n%s", said.String())
	}

	twin := serve("orders", "ENVIRONMENT=development", "ORDERS_NATS_SEED="+s.Seeds["orders"])
	log, err := twin.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := twin.Start(); err != nil {
		t.Fatal(err)
	}
	told, listens := false, false
	for lines := bufio.NewScanner(log); !listens && lines.Scan(); {
		told = told || strings.Contains(lines.Text(), "ENVIRONMENT is development")
		listens = strings.Contains(lines.Text(), "http listening")
	}
	if !told || !listens {
		t.Errorf("in development: told %v, listens %v", told, listens)
	}
	if err := twin.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(io.Discard, log)
	if err := twin.Wait(); err != nil {
		t.Error(err)
	}
}
