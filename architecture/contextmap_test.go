package architecture

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const mapFile = "architecture/contextmap.yaml"

// contextmap compares the code with the agreed page, and checks both for what makes modules
// separable.
var contextmap = rule{
	name: "contextmap",
	why: "modules with undeclared dependencies have to be released together and fail together, " +
		"as services even more; " +
		"see \"A distributed monolith\" in architecture/README.md",
	asks: true,
	check: func(t Tree) findings {
		agreed, err := agreements(t[mapFile])
		s := seams{tree: t, modules: t.Modules(), events: t.Events(), uses: t.Uses(), agreed: agreed}
		s.subjects = len(t.Descriptions()) + len(s.events) + len(s.uses.Creates)
		if err != nil {
			s.add(mapFile, "cannot be read: "+err.Error(), "write it as its first comment shows")
			return s.findings
		}
		s.checkPage()
		s.checkSubscriptions()
		s.checkCalls()
		s.checkRoutes()
		s.checkEvents()
		s.checkStrings()
		s.checkCanvases()
		return s.findings
	},
}

// seams are what the rule compares.
type seams struct {
	findings
	tree    Tree
	modules []string
	events  []Event
	uses    Uses
	agreed  map[string]agreement
}

// checkPage refuses missing, unknown and unexplained entries.
func (s *seams) checkPage() {
	for _, m := range s.modules {
		if _, ok := s.agreed[m]; !ok {
			s.add(mapFile, "has no entry for the module "+m,
				"add `"+m+":` with what it listens_to and calls; `"+m+": {}` if nothing")
		}
	}
	for _, m := range slices.Sorted(maps.Keys(s.agreed)) {
		if !slices.Contains(s.modules, m) {
			s.add(mapFile, "has an entry for "+m+", which is not a module", "remove it, or create modules/"+m)
		}
		for _, reasons := range []map[string]string{s.agreed[m].Calls, s.agreed[m].Public} {
			for _, of := range slices.Sorted(maps.Keys(reasons)) {
				if strings.TrimSpace(reasons[of]) == "" {
					s.add(mapFile, m+" gives no reason for "+of, "add it, in one phrase")
				}
			}
		}
	}
}

// checkSubscriptions compares the subscriptions with the agreed ones.
func (s *seams) checkSubscriptions() {
	for _, m := range s.modules {
		listens := s.tree.Description(m).Subscribes
		for _, topic := range listens {
			of, _, _ := strings.Cut(topic, ".")
			switch {
			case of == m && len(s.tree.Description(m).Publishes) > 1:
				s.add("modules/"+m, fmt.Sprintf("%s listens to its own %s, and publishes others", m, topic),
					"do it in the transaction that publishes it, or in a job: a module that answers itself may never end")
			case !slices.Contains(s.agreed[m].ListensTo, topic):
				s.add("modules/"+m, fmt.Sprintf("%s listens to %s, which is not in the context map", m, topic),
					fmt.Sprintf("agree on it with the owners of %s and add %s to %s.listens_to in %s; "+
						"or remove the handler", of, topic, m, mapFile))
			}
		}
		for _, topic := range s.agreed[m].ListensTo {
			if !slices.Contains(listens, topic) {
				s.add(mapFile, fmt.Sprintf("says that %s listens to %s, and it does not", m, topic),
					"remove it from "+m+".listens_to; or return a handler of it from Handlers in modules/"+m)
			}
		}
	}
	for _, u := range s.uses.Borrows {
		s.add(u.At, fmt.Sprintf("%s uses %sapi.%s and does not listen to it", u.Module, u.Owner, u.Name),
			"return its handler from Handlers, on no condition; or declare a type of "+u.Module+"'s own: "+
				"the types of events are for their subscribers")
	}
}

// checkCalls compares the calls with the agreed ones, and refuses cycles.
func (s *seams) checkCalls() {
	calls := map[string]map[string]Use{}
	for _, u := range s.uses.Calls {
		if calls[u.Module] == nil {
			calls[u.Module] = map[string]Use{}
		}
		if _, known := calls[u.Module][u.Owner]; known {
			continue
		}
		calls[u.Module][u.Owner] = u
		if _, ok := s.agreed[u.Module].Calls[u.Owner]; !ok {
			s.add(u.At, fmt.Sprintf("%s calls %s (%s), which is not in the context map", u.Module, u.Owner, u.Name),
				fmt.Sprintf("listen to events of %[2]s and store what you need; if the answer must be current, "+
					"add %[2]s with the reason to %[1]s.calls in %[3]s", u.Module, u.Owner, mapFile))
		}
	}
	for _, m := range s.modules {
		for _, pkg := range s.tree.Description(m).Reaches {
			if folder, _ := Inside(pkg); !under(folder, "modules") {
				s.add("cmd", m+" is given a function of "+pkg+", which may call anything",
					"pass it a value whose type says what it is: another module, its client, or a type of platform")
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(s.agreed)) {
		for _, to := range slices.Sorted(maps.Keys(s.agreed[m].Calls)) {
			if _, ok := calls[m][to]; !ok {
				s.add(mapFile, fmt.Sprintf("says that %s calls %s, and it does not", m, to),
					"remove it from "+m+".calls")
			}
		}
	}
	for _, circle := range circles(calls) {
		first := calls[circle[0]][circle[1]]
		s.add(first.At, "the calls form a cycle: "+strings.Join(circle, " → "),
			"replace one of them by an event, whose data the other stores: in a cycle no module can "+
				"be released, or fail, alone")
	}
}

// circles returns the cycles of calls, each once, from its first module in the alphabet.
func circles(calls map[string]map[string]Use) (found [][]string) {
	var walk func(way []string)
	walk = func(way []string) {
		for _, next := range slices.Sorted(maps.Keys(calls[way[len(way)-1]])) {
			switch {
			case next == way[0]:
				found = append(found, append(slices.Clone(way), next))
			case next > way[0] && !slices.Contains(way, next):
				walk(append(slices.Clone(way), next))
			}
		}
	}
	for _, m := range slices.Sorted(maps.Keys(calls)) {
		walk([]string{m})
	}
	return found
}

// checkEvents checks each event's topic, publisher and subscribers.
func (s *seams) checkEvents() {
	for _, u := range s.uses.Creates {
		if u.Owner != u.Module {
			s.add(u.At, u.Module+" creates "+u.Owner+"api."+u.Name+", a fact that only "+u.Owner+" can know",
				"publish an event of "+u.Module+"api, and let "+u.Owner+" listen to it and publish its own")
		}
	}
	topics := map[string]Event{}
	for _, e := range s.events {
		if twin, twice := topics[e.Topic]; twice {
			s.add(e.At(), fmt.Sprintf("%s has the topic %s, as %s has", e.Go(), e.Topic, twin.Go()),
				"give it another topic: a subscriber of one would get the other")
			continue
		}
		topics[e.Topic] = e
		s.checkEvent(e)
	}
	for _, m := range s.modules {
		for name, of := range s.tree.contract(m) {
			if of.event && !slices.ContainsFunc(s.events, func(e Event) bool { return e.Module == m && e.Type == name }) {
				s.add(of.file, m+"api."+name+" is an event, and Publishes of "+m+" does not return it",
					"add it there once it is published, or remove it")
			}
		}
		for _, topic := range slices.Sorted(maps.Keys(s.agreed[m].Public)) {
			if topics[topic].Module != m {
				s.add(mapFile, fmt.Sprintf("lists %s as public, which %s does not publish", topic, m),
					"remove it from "+m+".public")
			}
		}
	}
}

func (s *seams) checkEvent(e Event) {
	wire := regexp.MustCompile(`^` + e.Module + `\.[a-z][a-z0-9_]*\.v[1-9][0-9]*$`)
	subscribers := s.tree.subscribers(e.Topic)
	_, public := s.agreed[e.Module].Public[e.Topic]
	switch {
	case e.File == "":
		s.add("modules/"+e.Module, "publishes "+e.Type+", which its contract does not declare",
			"declare it in "+Contract(e.Module)+": subscribers see nothing else of the module")
		return
	case e.Payload.Type != "object":
		s.add(e.At(), e.Go()+" is not a struct",
			"declare it as a struct with json tags: subscribers ignore fields that they do not know")
	case !wire.MatchString(e.Topic):
		s.add(e.At(), fmt.Sprintf("%s has the topic %q", e.Go(), e.Topic),
			"begin the topic with the module's name and end it with a version: "+e.Module+".what_happened.v1")
	}
	for _, fault := range indescribable(e.Payload) {
		s.add(e.At(), e.Go()+" cannot be described: "+fault,
			"use what subscribers in any language can read: strings, numbers, time.Time, or structs, slices and maps of those")
	}
	if len(published(s.uses, e)) == 0 {
		by := "it has no subscribers"
		if len(subscribers) > 0 {
			by = "its subscribers are " + strings.Join(subscribers, " and ")
		}
		s.add(e.At(), fmt.Sprintf("%s is not published; %s", e.Topic, by),
			"publish "+e.Go()+" in modules/"+e.Module+" with PublishTx of its outbox, or remove the event")
	}
	switch {
	case len(subscribers) == 0 && !public:
		s.add(e.At(), e.Topic+" has no subscribers",
			"remove it; or name its external subscribers in "+mapFile+", under "+e.Module+".public")
	case len(subscribers) > 0 && public:
		s.add(mapFile, fmt.Sprintf("lists %s as public, and %s listens to it",
			e.Topic, strings.Join(subscribers, " and ")), "remove it from "+e.Module+".public")
	}
}

// published returns the places where an event's module creates it.
func published(uses Uses, e Event) (found []string) {
	for _, u := range uses.Creates {
		if u.Module == e.Module && u.Owner == e.Module && u.Name == e.Type {
			found = append(found, u.At)
		}
	}
	return found
}

// checkStrings refuses topics in strings, where the contract's type would do: the other checks and
// the compiler would miss such a use.
func (s *seams) checkStrings() {
	topics := regexp.MustCompile(`\b(` + strings.Join(s.modules, "|") + `)\.([a-z0-9_]+\.v[0-9]+\b|[*>])`)
	found := func(at, topic string) {
		if strings.HasPrefix(at, "platform/") {
			s.add(at, "platform names the topic "+topic, "take it as an argument: platform does not depend on modules")
			return
		}
		s.add(at, "names the topic "+topic+" in a string",
			"use the contract's type: events.On to listen, PublishTx of an outbox to publish")
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
	for _, file := range sqlFiles(s.tree) {
		if topic := topics.FindString(uncommented(s.tree[file])); topic != "" {
			found(file, topic)
		}
	}
}
