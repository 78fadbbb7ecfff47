package architecture

import (
	"encoding/json"
	"slices"
)

// Field is one value of an event's payload, in terms of JSON.
type Field struct {
	Name     string  `json:"name,omitempty"`     // of the property; empty for elements of an array and values of a map
	Type     string  `json:"type,omitempty"`     // as in JSON Schema; empty for any
	Format   string  `json:"format,omitempty"`   // int64, date-time, …
	Doc      string  `json:"doc,omitempty"`      // its comment in the source
	Optional bool    `json:"optional,omitempty"` // it may be left out
	Nullable bool    `json:"nullable,omitempty"` // it may be null
	Fields   []Field `json:"fields,omitempty"`   // of an object
	Elements *Field  `json:"elements,omitempty"` // of an array, or the values of a map
}

// Schema returns an event's JSON Schema, as it is committed to contracts/.
func (t Tree) Schema(e Event) string {
	payload, _ := t.Describe(e)
	s := payload.schema()
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
		slices.Sort(required) // so that the order of the fields does not matter
		s["properties"], s["required"] = properties, required
	}
	return s
}
