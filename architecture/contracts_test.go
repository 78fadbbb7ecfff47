package architecture

import (
	"fmt"
	"go/ast"
	"path"
	"strconv"
	"strings"
)

const releasedFolder = contractsFolder + "/released"

// contracts compares today's contracts with the released ones, and refuses breaking changes.
var contracts = rule{
	name: "contracts",
	why: "subscribers and callers were deployed earlier, and their customers would find the breaking change first; " +
		"see \"Contracts that break\" in architecture/README.md",
	asks: true,
	check: func(t Tree) findings {
		f := findings{subjects: len(t.Descriptions())} // of which none may be released yet
		today := map[string]Event{}
		for _, e := range t.Events() {
			today[e.Topic] = e
		}
		for _, file := range t.Match(releasedFolder + "/*" + schemaSuffix) {
			f.subjects++
			topic := strings.TrimSuffix(path.Base(file), schemaSuffix)
			compareEvent(t, &f, file, topic, today)
		}
		for _, file := range t.Match(releasedFolder + "/*" + openapiSuffix) {
			f.subjects++
			module := strings.TrimSuffix(path.Base(file), openapiSuffix)
			now := t.Description(module).OpenAPI
			if now == nil {
				f.add(file, "releases the routes of "+module+", which no module has any more",
					"keep them in the module that took over; "+retire("no client calls them any more", file))
				continue
			}
			for _, broken := range breaks(t[file], indented(now)) {
				f.add(contractsFolder+"/"+path.Base(file), "breaks the released "+module+": "+broken, httpWayOut(t, module))
			}
		}
		return f
	},
}

func compareEvent(t Tree, f *findings, released, topic string, today map[string]Event) {
	e, there := today[topic]
	if !there {
		f.add(released, "releases "+topic+", which no contract has any more",
			"restore it, and publish its replacement beside it as a new topic, "+nextVersion(topic)+"; "+
				retire("it has no subscribers any more and no outbox stores it",
					released+" and events/"+topic+storedSuffix))
		return
	}
	for _, broken := range breaks(asResponse(t[released]), asResponse(e.Schema())) {
		f.add(e.At(), "breaks the released "+topic+": "+asEvent.Replace(broken), eventWayOut(t, e))
	}
}

// asEvent removes from oasdiff's words what comes from wrapping the event as a response.
var asEvent = strings.NewReplacer("GET /event: ", "", " from the response with the `200` status", "",
	" for the status `200`", "", " for status `200`", "", " for the response status `200`", "",
	"the response property", "the property", "response's property ", "property's ", " response property", " property")

// retire returns how a contract ends: by a reviewed change.
func retire(when, file string) string {
	return "once " + when + ", delete " + file + " in the same change"
}

func eventWayOut(t Tree, e Event) string {
	next := e.Type + "V" + strconv.Itoa(version(e.Topic)+1)
	fix := fmt.Sprintf("leave %s as it was released; declare %s with the topic %q beside it in %s, and publish both",
		e.Type, next, nextVersion(e.Topic), e.File)
	if where := published(t.Uses(), e); len(where) > 0 {
		fix += ", in " + strings.Join(where, " and ")
	}
	return fix + ", until v" + strconv.Itoa(version(e.Topic)) + " has no subscribers"
}

func httpWayOut(t Tree, module string) string {
	where := "modules/" + module
	for _, file := range t.sourcesBelow(where) {
		for _, decl := range t.Go(file).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "Routes" {
				where = file + ", func Routes"
			}
		}
	}
	return "leave what was released and add the new beside it: an optional field, or another route in " + where +
		"; mark what is to be removed as Deprecated for one release"
}

// version returns the number at a topic's end, or 1.
func version(topic string) int {
	if n, err := strconv.Atoi(topic[strings.LastIndex(topic, ".v")+len(".v"):]); err == nil {
		return n
	}
	return 1
}

func nextVersion(topic string) string {
	n := version(topic)
	return strings.TrimSuffix(topic, ".v"+strconv.Itoa(n)) + ".v" + strconv.Itoa(n+1)
}
