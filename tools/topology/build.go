package topology

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"example.com/shop/architecture"
)

// Build compiles the system's commands, and the sandbox if there is one, into a new folder, which
// the caller removes.
func Build(ctx context.Context, flags ...string) (bin string, err error) {
	bin, err = os.MkdirTemp("", "seam-bin-")
	if err != nil {
		return "", err
	}
	args := append(append([]string{"build", "-o", bin}, flags...), architecture.Path+"/cmd/...", architecture.Path+"/tools/seam", architecture.Path+"/test/...")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		_ = os.RemoveAll(bin)
		return "", fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return bin, nil
}
