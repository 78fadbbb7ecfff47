package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// described is what a program says of a module that it links.
type described struct {
	Module  string
	OpenAPI json.RawMessage
}

// describe asks a program in the folder for its modules.
func describe(ctx context.Context, bin, program string) (modules []described, err error) {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, program), "describe").Output() //nolint:gosec // ours
	if err == nil {
		err = json.Unmarshal(out, &modules)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s which modules it links: %w", program, err)
	}
	return modules, nil
}
