package architecture

import (
	"encoding/json"
	"slices"
	"strings"
)

// Event is a fact that a module tells others: a struct of its contract package with a Topic.
type Event struct {
	Module  string
	Package string // the contract's, such as ordersapi
	Name    string // the struct's
	Topic   string // the wire name; empty when Topic returns anything but a literal
	Doc     string // says when the fact is true
	At      string // file:line
	Fields  []Field

	Faults []string // what of it cannot be described
}

// Field is one value of an event's payload, as JSON has it.
type Field struct {
	Name     string // of the property; empty for the elements of a list or the values of a map
	Type     string // object, array, string, integer, number, boolean; empty for anything
	Format   string // int64, date-time, …
	Doc      string
	Optional bool    // it may be left out
	Nullable bool    // it may be null
	Fields   []Field // of an object
	Elements *Field  // of an array, or the values of an object with any keys
}

// Events are the events of every contract in the tree, sorted by topic.
func Events(t Tree) []Event {
	var found []Event
	for _, module := range t.Modules() {
		contract := readContract(t, module)
		for name, topic := range contract.topics {
			e := Event{Module: module, Package: module + "api", Name: name, Topic: topic}
			spec := contract.types[name]
			if spec == nil {
				continue // a method of a type that is not there does not compile
			}
			e.At, e.Doc = At(spec.node), spec.doc
			d := describer{contract: contract}
			e.Fields, e.Faults = d.value(spec.node.Type).Fields, d.faults
			if topic == "" {
				e.Faults = append(e.Faults, "Topic has to return a literal, such as \""+module+".happened.v1\"")
			}
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b Event) int {
		return strings.Compare(a.Topic+" "+a.Package+a.Name, b.Topic+" "+b.Package+b.Name)
	})
	return found
}

// Schema is the event's JSON Schema, as it is committed to contracts/.
func (e Event) Schema() string {
	s := Field{Type: "object", Doc: e.Doc, Fields: e.Fields}.schema()
	s["$schema"], s["$id"], s["title"] = "https://json-schema.org/draft/2020-12/schema", e.Topic, e.Name
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps and strings
	}
	return string(text) + "\n"
}

func (f Field) schema() map[string]any {
	s := map[string]any{}
	if f.Doc != "" {
		s["description"] = f.Doc
	}
	if f.Type != "" {
		s["type"] = f.Type
	}
	if f.Type != "" && f.Nullable {
		s["type"] = []string{f.Type, "null"}
	}
	if f.Format != "" {
		s["format"] = f.Format
	}
	switch {
	case f.Type == "array":
		s["items"] = f.Elements.schema()
	case f.Type == "object" && f.Elements != nil:
		s["additionalProperties"] = f.Elements.schema()
	case f.Type == "object":
		properties, required := map[string]any{}, []string{}
		for _, p := range f.Fields {
			properties[p.Name] = p.schema()
			if !p.Optional {
				required = append(required, p.Name)
			}
		}
		slices.Sort(required) // the order of fields in the source promises nothing
		s["properties"], s["required"] = properties, required
	}
	return s
}
