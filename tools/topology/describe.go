package topology

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// described is what a program says of a module that it links.
type described struct {
	Module  string
	OpenAPI struct {
		Paths map[string]map[string]operation
	}
}

type operation struct {
	Security []map[string][]string
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

// internal returns the prefixes of what services alone may call, as the façade lists them.
func (d described) internal() (prefixes []string) {
	for path, operations := range d.OpenAPI.Paths {
		alone := len(operations) > 0
		for _, o := range operations {
			alone = alone && slices.Equal(o.roles(), []string{"service"})
		}
		if alone {
			prefix, _, _ := strings.Cut(path, "/{")
			prefixes = append(prefixes, prefix)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes)
}

// roles returns the roles that may call.
func (o operation) roles() (names []string) {
	for _, alternative := range o.Security {
		for _, roles := range alternative {
			names = append(names, roles...)
		}
	}
	return names
}
