package architecture

import (
	"regexp"
	"slices"
	"strings"

	"example.com/shop/platform/service"
)

// Model is what a context map shows of the code.
type Model struct {
	Modules    []Module   `json:"modules"`
	Events     []Fact     `json:"events"`
	Calls      []Call     `json:"calls"`
	Commands   []Process  `json:"commands"`
	Topologies []Topology `json:"topologies"`
}

// Module is a bounded context with the tables of its schema, without the platform's.
type Module struct {
	Name   string   `json:"name"`
	Tables []string `json:"tables"`
}

// Fact is an event with its subscribers. Its publisher is its module.
type Fact struct {
	Topic        string          `json:"topic"`
	Module       string          `json:"module"`
	Type         string          `json:"type"` // as a subscriber writes it
	Doc          string          `json:"doc"`
	Fields       []service.Field `json:"fields"`
	SubscribedBy []string        `json:"subscribed_by"`
}

// Call is a synchronous call from one module to another.
type Call struct {
	From  string   `json:"from"`
	To    string   `json:"to"`
	Names []string `json:"names"` // that the caller uses of the other's contract
}

// Process is a program, and the modules that it links or, in a topology, serves.
type Process struct {
	Name    string   `json:"name"`
	Modules []string `json:"modules"`
}

// Topology is one way to run the system.
type Topology struct {
	Name      string    `json:"name"` // the command that starts it
	Processes []Process `json:"processes"`
}

// facade is the program in front of the others in a split. No import shows this, only its name.
const facade = "gateway"

// Model reads the model of the system from its code.
func (t Tree) Model() Model {
	m := Model{Modules: []Module{}, Events: []Fact{}, Calls: []Call{}, Commands: []Process{}}
	for _, module := range t.Modules() {
		m.Modules = append(m.Modules, Module{module, t.Tables(module)})
	}
	for _, e := range t.Events() {
		m.Events = append(m.Events, Fact{
			Topic: e.Topic, Module: e.Module, Type: e.Go(), Doc: e.Doc, Fields: e.Payload.Fields,
			SubscribedBy: t.subscribers(e.Topic),
		})
	}
	for _, use := range t.Uses().Calls {
		i := slices.IndexFunc(m.Calls, func(c Call) bool { return c.From == use.Module && c.To == use.Owner })
		if i < 0 {
			i, m.Calls = len(m.Calls), append(m.Calls, Call{From: use.Module, To: use.Owner})
		}
		failure := strings.HasPrefix(use.Name, "Err") // of a call, and none itself
		if c := &m.Calls[i]; !failure && !slices.Contains(c.Names, use.Name) {
			c.Names = append(c.Names, use.Name)
			slices.Sort(c.Names)
		}
	}
	for _, command := range t.Commands() {
		m.Commands = append(m.Commands, Process{command, t.serves(command)})
	}
	m.Topologies = topologies(t.Modules(), t.ledger().Left(), m.Commands)
	return m
}

// subscribers returns the modules that listen to a topic.
func (t Tree) subscribers(topic string) []string {
	found := []string{}
	for _, d := range t.Descriptions() {
		if slices.Contains(d.Subscribes, topic) {
			found = append(found, d.Module)
		}
	}
	return found
}

func (t Tree) serves(command string) []string {
	found := []string{}
	for _, l := range t.Links("cmd/" + command) {
		if module, ok := strings.CutPrefix(l.Package, "modules/"); ok && !strings.Contains(module, "/") {
			found = append(found, module)
		}
	}
	slices.Sort(found)
	return found
}

// topologies returns the ways to run the system that its programs allow: with as much as possible
// in one process, with each module split off, and with all. An extracted module is always split
// off.
func topologies(modules, left []string, commands []Process) []Topology {
	alone := map[string]Process{}
	var monolith Process // the one that can serve the most
	var before []Process
	for _, c := range commands {
		if c.Name == facade {
			before = []Process{{facade, []string{}}}
		}
		if len(c.Modules) == 1 {
			alone[c.Modules[0]] = c
		}
		if len(c.Modules) > len(monolith.Modules) {
			monolith = c
		}
	}
	found := []Topology{}
	add := func(title string, split ...string) {
		var processes []Process
		if len(split) > 0 {
			processes = slices.Clone(before)
		}
		rest := slices.DeleteFunc(slices.Clone(modules), func(m string) bool { return slices.Contains(split, m) })
		for _, m := range rest {
			if !slices.Contains(monolith.Modules, m) {
				return // no process would serve it
			}
		}
		if len(rest) > 0 {
			processes = append(processes, Process{monolith.Name, rest})
		}
		for _, m := range split {
			if _, ok := alone[m]; !ok {
				return
			}
			processes = append(processes, alone[m])
		}
		found = append(found, Topology{title, processes})
	}
	run := func(split ...string) {
		slices.Sort(split)
		add(strings.TrimSuffix("make run SPLIT="+strings.Join(split, ","), " SPLIT="), split...)
	}
	run(slices.Clone(left)...)
	for _, m := range modules {
		if !slices.Contains(left, m) && len(left)+1 < len(modules) {
			run(append(slices.Clone(left), m)...)
		}
	}
	add("make run SPLIT=all", modules...)
	return found
}

var (
	sqlComment = regexp.MustCompile(`(?s)--[^\n]*|/\*.*?\*/`)
	tableMade  = regexp.MustCompile(`(?i)\bCREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?` +
		`"?(\w+)"?\s*(\(|AS\b|PARTITION\s+OF\b)?`)
	tableGone  = regexp.MustCompile(`(?i)\bDROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?"?(\w+)"?`)
	tableNamed = regexp.MustCompile(`(?i)\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?"?(\w+)"?\s+RENAME\s+TO\s+"?(\w+)"?`)
	goBack     = regexp.MustCompile(`(?s)-- \+goose Down.*`)
)

// Tables returns the tables that a module's migrations leave, without partitions, oldest first.
func (t Tree) Tables(module string) []string {
	var sql strings.Builder
	for _, file := range t.Match("migrations/" + module + "/*.sql") {
		sql.WriteString(goBack.ReplaceAllString(t[file], "") + "\n;")
	}
	return tablesOf(sql.String())
}

func tablesOf(script string) []string {
	tables := []string{}
	sql := sqlComment.ReplaceAllString(script, "")
	for statement := range strings.SplitSeq(sql, ";") {
		made := tableMade.FindStringSubmatch(statement)
		if made != nil && !strings.HasPrefix(strings.ToUpper(made[2]), "PARTITION") {
			tables = append(tables, made[1])
		} else if m := tableGone.FindStringSubmatch(statement); m != nil {
			tables = slices.DeleteFunc(tables, func(name string) bool { return name == m[1] })
		} else if m := tableNamed.FindStringSubmatch(statement); m != nil && slices.Contains(tables, m[1]) {
			tables[slices.Index(tables, m[1])] = m[2]
		}
	}
	return tables
}
