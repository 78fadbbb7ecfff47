package architecture

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// checkStrings refuses topics that are written out where the contract's type would do: such a use nobody sees, and no compiler.
func (s *seams) checkStrings() {
	topics := regexp.MustCompile(`\b(` + strings.Join(s.modules, "|") + `)\.([a-z0-9_]+\.v[0-9]+\b|[*>])`)
	found := func(at, topic string) {
		if strings.HasPrefix(at, "platform/") {
			s.add(at, "platform names the topic "+topic, "take it as an argument: platform knows no module")
			return
		}
		s.add(at, "names the topic "+topic+" in a string", "use the contract's type: events.On to listen, events.PublishTx to publish")
	}
	for _, file := range s.tree.GoFiles(false) {
		_, contract := ownerOfFile(file)
		if contract || !under(file, "platform") && !under(file, "modules") || !topics.MatchString(s.tree[file]) {
			continue // most files have none, not even in a comment
		}
		ast.Inspect(s.tree.Go(file), func(n ast.Node) bool {
			if topic := topics.FindString(literal(n)); topic != "" {
				found(At(n), topic)
			}
			return true
		})
	}
	for _, folder := range []string{"platform", "modules", "migrations"} {
		for _, file := range s.tree.Below(folder, ".sql") {
			if topic := topics.FindString(sqlComment.ReplaceAllString(s.tree[file], "")); topic != "" {
				found(file, topic)
			}
		}
	}
}

var (
	canvasRow = regexp.MustCompile(`(?m)^\| \*\*(Publishes|Listens to|Calls|Tables)\*\* \| (.*) \|$`)
	wireNames = regexp.MustCompile(`\b[a-z0-9_]+\.[a-z0-9_]+\.v[0-9]+\b`)
	quoted    = regexp.MustCompile("`(\\w+)`")
	mdLink    = regexp.MustCompile(`\[[^\]]*\]\([^)]*\)`)
)

// checkCanvases compares each module's README with its code, so that the third copy of the map is not the one that lies.
func (s *seams) checkCanvases() {
	for _, m := range s.modules {
		page := "modules/" + m + "/README.md"
		rows := map[string]string{}
		for _, row := range canvasRow.FindAllStringSubmatch(s.tree[page], -1) {
			rows[row[1]] = row[2]
		}
		var publishes, hears, calls []string
		for _, e := range s.events {
			if e.Module == m {
				publishes = append(publishes, e.Topic)
			}
		}
		for _, u := range s.uses.Hears {
			if u.Module == m {
				hears = append(hears, s.topic(u))
			}
		}
		for _, u := range s.uses.Calls {
			if u.Module == m {
				calls = append(calls, u.Owner)
			}
		}
		others := regexp.MustCompile(`\b(` + strings.Join(s.modules, "|") + `)\b`)
		tables, _, _ := strings.Cut(rows["Tables"], " in the schema")
		s.compare(page, rows, "Publishes", wireNames.FindAllString(rows["Publishes"], -1), publishes)
		s.compare(page, rows, "Listens to", wireNames.FindAllString(rows["Listens to"], -1), hears)
		s.compare(page, rows, "Calls", others.FindAllString(mdLink.ReplaceAllString(rows["Calls"], ""), -1), calls)
		s.compare(page, rows, "Tables", quoted.FindAllString(tables, -1), s.tree.Tables(m))
	}
}

// compare refuses a row of a canvas that says anything but what the code does.
func (s *seams) compare(page string, rows map[string]string, row string, says, does []string) {
	if _, ok := rows[row]; !ok {
		s.add(page, "has no row "+row, "write the module's canvas as modules/orders/README.md does: | **"+row+"** | … |")
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
		s.add(page, fmt.Sprintf("its row %s names %s; the code has %s", row, says, does), "write in the row what is true: people read it first")
	}
}
