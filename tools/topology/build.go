package topology

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"example.com/shop/architecture"
)

// Build compiles the system's commands, and the sandbox if there is one, into a new folder, which
// the caller removes. It begins with a copy of TEST_BIN, the folder that make test has just built
// into, but for seam's further verbs: go links again only what is not what the source says.
func Build(ctx context.Context, flags ...string) (bin string, err error) {
	bin, err = os.MkdirTemp("", "seam-bin-")
	if err != nil {
		return "", err
	}
	if built := os.Getenv("TEST_BIN"); built != "" && len(flags) == 0 {
		if err := os.CopyFS(bin, os.DirFS(built)); err != nil {
			_ = os.RemoveAll(bin)
			return "", fmt.Errorf("copy TEST_BIN: %w", err)
		}
		verbs, _ := filepath.Glob(filepath.Join(bin, "seam-*"))
		for _, verb := range verbs {
			_ = os.Remove(verb)
		}
	}
	args := append(append([]string{"build", "-o", bin}, flags...), architecture.Path+"/cmd/...", architecture.Path+"/tools/seam", architecture.Path+"/test/...")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput() //nolint:gosec // ours
	if err != nil {
		_ = os.RemoveAll(bin)
		return "", fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return bin, nil
}
