package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// Erasures returns the paths of the routes that end in /erasures, by their modules: what the
// commands in the folder say of themselves, the monolith and that of each module that it does not
// link.
func Erasures(ctx context.Context, bin string) (paths map[string]string, err error) {
	all, err := describe(ctx, bin, "monolith")
	for _, m := range Modules {
		if err == nil && !slices.ContainsFunc(all, func(d described) bool { return d.Module == m }) {
			var one []described
			one, err = describe(ctx, bin, m)
			all = append(all, one...)
		}
	}
	paths = map[string]string{}
	for _, d := range all {
		var document struct{ Paths map[string]json.RawMessage }
		err = errors.Join(err, json.Unmarshal(d.OpenAPI, &document))
		for path := range document.Paths {
			if strings.HasSuffix(path, "/erasures") {
				paths[d.Module] = path
			}
		}
	}
	return paths, err
}
