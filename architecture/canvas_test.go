package architecture

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	canvasRow = regexp.MustCompile(`(?m)^\| \*\*(Publishes|Listens to|Calls|Tables)\*\* \| (.*) \|$`)
	wireNames = regexp.MustCompile(`\b[a-z0-9_]+\.[a-z0-9_]+\.v[0-9]+\b`)
	quoted    = regexp.MustCompile("`(\\w+)`")
	mdLink    = regexp.MustCompile(`\[[^\]]*\]\([^)]*\)`)
)

// checkCanvases compares each module's README, which repeats its part of the context map, with its
// code.
func (s *seams) checkCanvases() {
	for _, m := range s.modules {
		page := "modules/" + m + "/README.md"
		rows := map[string]string{}
		for _, row := range canvasRow.FindAllStringSubmatch(s.tree[page], -1) {
			rows[row[1]] = row[2]
		}
		var publishes, calls []string
		for _, e := range s.tree.Description(m).Publishes {
			publishes = append(publishes, e.Topic)
		}
		for _, u := range s.uses.Calls {
			if u.Module == m {
				calls = append(calls, u.Owner)
			}
		}
		others := regexp.MustCompile(`\b(` + strings.Join(s.modules, "|") + `)\b`)
		tables, _, _ := strings.Cut(rows["Tables"], " in the schema")
		s.compare(page, rows, "Publishes", wireNames.FindAllString(rows["Publishes"], -1), publishes)
		s.compare(page, rows, "Listens to", wireNames.FindAllString(rows["Listens to"], -1),
			slices.Clone(s.tree.Description(m).Subscribes))
		s.compare(page, rows, "Calls", others.FindAllString(mdLink.ReplaceAllString(rows["Calls"], ""), -1), calls)
		s.compare(page, rows, "Tables", quoted.FindAllString(tables, -1), s.tree.Tables(m))
	}
}

// compare refuses a row of a README that differs from the code.
func (s *seams) compare(page string, rows map[string]string, row string, says, does []string) {
	if _, ok := rows[row]; !ok {
		line := "| **" + row + "** |"
		s.add(page, "has no row "+row, "add it to the module's canvas: "+line+" … |"+
			s.tree.example("modules/%/README.md", "", func(t Tree, _, at string) bool { return strings.Contains(t[at], line) }))
		return
	}
	set := func(names []string) string {
		for i, name := range names {
			names[i] = strings.Trim(name, "`")
		}
		slices.Sort(names)
		if names = slices.Compact(names); len(names) == 0 {
			return "nothing"
		}
		return strings.Join(names, ", ")
	}
	if says, does := set(says), set(does); says != does {
		s.add(page, fmt.Sprintf("its row %s names %s; the code has %s", row, says, does), "correct the row")
	}
}
