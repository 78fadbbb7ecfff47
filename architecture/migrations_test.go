package architecture

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sumsFile has the checksum of each released migration, as sha256sum writes it.
const sumsFile = releasedFolder + "/migrations.sum"

// migrated keeps released migrations as they were: a database that has run one never runs it again.
// A new one makes no index while those who write to its table wait.
var migrated = rule{
	name: "migrations",
	why: "databases that ran a migration before and after it was edited differ for ever, and no log says so; " +
		`see "Contracts that break" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		if _, there := t[sumsFile]; !there {
			f.add(sumsFile, "is missing", "restore it: without it no edit of a released migration is seen")
		}
		last := map[string]int{} // the released number of each folder
		for line := range strings.Lines(t[sumsFile]) {
			sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
			last[path.Dir(file)] = max(last[path.Dir(file)], numberOf(file))
			if text, there := t[file]; !there || sumOf(text) != sum {
				f.add(file, "is not as it was released", "restore it, and write another migration after it")
			}
		}
		known := map[string]string{}
		for _, file := range t.migrations() {
			f.subjects++
			number := numberOf(file)
			place := fmt.Sprint(path.Dir(file), number)
			if first := known[place]; first != "" {
				f.add(file, "has the number of "+path.Base(first), "give it the next number: which of the two runs first depends on chance")
			} else if number <= last[path.Dir(file)] && !strings.Contains(t[sumsFile], "  "+file+"\n") {
				f.add(file, "has a number below one that was released", "give it the next number: a database that is further never runs it")
			}
			known[place] = file
			made := tablesOf(t[file])
			for _, table := range indexed(sqlComment.ReplaceAllString(t[file], "")) {
				if !strings.Contains(t[sumsFile], "  "+file+"\n") && !slices.Contains(made, table) {
					f.add(file, "makes an index of "+table+" while all who write to it wait",
						`give it a file of its own, with "-- +goose NO TRANSACTION" and CREATE INDEX CONCURRENTLY; a constraint takes it with USING INDEX`)
				}
			}
		}
		return f
	},
}

var (
	newIndex      = regexp.MustCompile(`(?i)\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(CONCURRENTLY\s+)?(?:(?:IF\s+NOT\s+EXISTS\s+)?"?\w+"?\s+)?ON\s+(?:ONLY\s+)?"?(\w+)`)
	alterTable    = regexp.MustCompile(`(?i)\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?"?(\w+)[^;]*`)
	newConstraint = regexp.MustCompile(`(?i)\b(?:UNIQUE|PRIMARY\s+KEY|EXCLUDE)\b(\s+USING\s+INDEX)?`)
	sqlString     = regexp.MustCompile(`'[^']*'`)
)

// indexed returns the tables of which the statements make an index while writers wait, also one of a
// constraint.
func indexed(statements string) (tables []string) {
	for _, found := range newIndex.FindAllStringSubmatch(statements, -1) {
		if found[1] == "" {
			tables = append(tables, found[2])
		}
	}
	for _, altered := range alterTable.FindAllStringSubmatch(sqlString.ReplaceAllString(statements, ""), -1) {
		for _, found := range newConstraint.FindAllStringSubmatch(altered[0], -1) {
			if found[1] == "" {
				tables = append(tables, altered[1])
			}
		}
	}
	return tables
}

// numberOf returns the number at the beginning of a migration's name.
func numberOf(file string) int {
	digits, _, _ := strings.Cut(path.Base(file), "_")
	n, _ := strconv.Atoi(digits)
	return n
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
