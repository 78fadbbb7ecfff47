package architecture

import (
	"slices"
	"strings"
)

// askFor says how to use another module.
func (t Tree) askFor(module string) string {
	switch {
	case !slices.Contains(t.Modules(), module):
		return "remove it: there is no module " + module
	case len(t.sources(Contract(module))) == 0:
		return module + " has no contract: let it publish an event in " + Contract(module) + ", and listen to that"
	}
	return "import " + module + "api, its contract: listen to its events, or call it"
}

// tower is the folders of the root from the bottom to the top: imports point down, or within a
// folder. What is not in it is above all.
var tower = []string{
	"platform", "migrations", "modules", "cmd", "deploy", "architecture", "test", "tools", "lab",
}

func level(folder string) int {
	top, _, _ := strings.Cut(folder, "/")
	if i := slices.Index(tower, top); i >= 0 {
		return i
	}
	return len(tower)
}
