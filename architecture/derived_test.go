package architecture

import (
	"maps"
	"slices"
	"strings"
)

// derived compares the files that follow from the modules, such as the map in the architecture's
// page, with what they would be now.
var derived = rule{
	name: "derived",
	why: "an outdated map is worse than none: people plan an extraction by it; " +
		"see \"A distributed monolith\" in architecture/README.md",
	asks: true,
	check: func(t Tree) findings {
		var f findings
		if broken := contextmap.check(t).broken; len(broken) > 0 {
			return findings{subjects: len(broken)} // which is said there, and comes first
		}
		files, err := t.Derived()
		if err != nil {
			f.add("deploy and "+Readme, err.Error(), "correct it, and run make generate")
			return f
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			f.subjects++
			if files[name] != strings.ReplaceAll(t[name], "\r\n", "\n") {
				f.add(name, "is outdated", "run make generate, and review the change")
			}
		}
		for _, name := range t.Outdated(files) {
			f.add(name, "describes what no module has", "run make generate, and review the change")
		}
		return f
	},
}
