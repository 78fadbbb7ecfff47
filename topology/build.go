package topology

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build compiles the shop's commands into a new folder, for tests that run them. The caller removes the folder.
func Build(ctx context.Context) (bin string, err error) {
	bin, err = os.MkdirTemp("", "shop-bin-")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "example.com/shop/cmd/...").CombinedOutput() //nolint:gosec // our own folder
	if err != nil {
		_ = os.RemoveAll(bin)
		return "", fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return bin, nil
}
