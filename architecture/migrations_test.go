package architecture

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// sumsFile has the checksum of each released migration, as sha256sum writes it.
const sumsFile = releasedFolder + "/migrations.sum"

// migrated keeps released migrations as they were: a database that has run one never runs it again.
var migrated = rule{
	name: "migrations",
	why: "databases that ran a migration before and after it was edited differ for ever, and no log says so; " +
		`see "Contracts that break" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		for line := range strings.Lines(t[sumsFile]) {
			sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
			if text, there := t[file]; !there || sumOf(text) != sum {
				f.add(file, "is not as it was released", "restore it, and write another migration after it")
			}
		}
		numbers := map[string]string{}
		for _, file := range t.migrations() {
			f.subjects++
			number, _, _ := strings.Cut(path.Base(file), "_")
			if first := numbers[path.Dir(file)+number]; first != "" {
				f.add(file, "has the number of "+path.Base(first), "give it the next number: which of the two runs first depends on chance")
			}
			numbers[path.Dir(file)+number] = file
		}
		return f
	},
}

// migrations returns the migrations of all modules and of platform.
func (t Tree) migrations() []string {
	return append(t.Match("migrations/*/*.sql"), t.Match("platform/postgres/schema/*.sql")...)
}

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// sums returns the sums of all migrations, for a release.
func (t Tree) sums() string {
	sums := map[string]string{}
	for _, file := range t.migrations() {
		sums[file] = sumOf(t[file]) + "  " + file + "\n"
	}
	var text strings.Builder
	for _, file := range slices.Sorted(maps.Keys(sums)) {
		text.WriteString(sums[file])
	}
	return text.String()
}
