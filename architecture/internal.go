package architecture

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Internal returns the prefixes of what services alone may call, as a façade's table lists them, by
// a module's OpenAPI document.
func Internal(document []byte) (prefixes []string, err error) {
	var api struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string // of each alternative, the roles
		}
	}
	if err := json.Unmarshal(document, &api); err != nil {
		return nil, fmt.Errorf("read the module's routes: %w", err)
	}
	for path, operations := range api.Paths {
		var roles []string
		for _, operation := range operations {
			if len(operation.Security) == 0 {
				roles = append(roles, "") // anybody
			}
			for _, alternative := range operation.Security {
				for _, names := range alternative {
					roles = append(roles, names...)
				}
			}
		}
		slices.Sort(roles)
		if slices.Equal(slices.Compact(roles), []string{"service"}) {
			prefix, _, _ := strings.Cut(path, "/{")
			prefixes = append(prefixes, prefix)
		}
	}
	slices.Sort(prefixes)
	return slices.Compact(prefixes), nil
}
