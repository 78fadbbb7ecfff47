package architecture

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"example.com/shop/platform/service"
)

const (
	contractsFolder = "architecture/contracts"
	schemaSuffix    = ".schema.json"
	openapiSuffix   = ".openapi.json"
)

func schemaFile(topic string) string { return contractsFolder + "/" + topic + schemaSuffix }

// Contracts returns the files that describe the events and the routes of all modules.
func (t Tree) Contracts() map[string]string {
	files := map[string]string{}
	for _, e := range t.Events() {
		files[schemaFile(e.Topic)] = e.Schema()
	}
	for _, d := range t.Descriptions() {
		files[contractsFolder+"/"+d.Module+openapiSuffix] = indented(d.OpenAPI)
	}
	return files
}

// internal returns what Internal does of the module's contract; nothing before it has one.
func (t Tree) internal(module string) []string {
	prefixes, _ := Internal([]byte(t[contractsFolder+"/"+module+openapiSuffix]))
	return prefixes
}

// Schema returns the event's JSON Schema, with the comments of its contract.
func (e Event) Schema() string {
	s := schema(e.types, e.Payload, e.Doc)
	s["$schema"], s["$id"], s["title"] = "https://json-schema.org/draft/2020-12/schema", e.Topic, e.Type
	return indented(s)
}

func schema(types map[string]declared, f service.Field, doc string) map[string]any {
	s := map[string]any{}
	of := types[strings.TrimPrefix(path.Ext(f.GoType), ".")]
	if doc == "" {
		doc = of.doc
	}
	for key, value := range map[string]string{"description": doc, "type": f.Type, "format": f.Format} {
		if value != "" {
			s[key] = value
		}
	}
	if f.Type != "" && f.Nullable {
		s["type"] = []string{f.Type, "null"}
	}
	switch {
	case f.Type == "array":
		s["items"] = schema(types, *f.Elements, "")
	case f.Type == "object" && f.Elements != nil:
		s["additionalProperties"] = schema(types, *f.Elements, "")
	case f.Type == "object":
		properties, required := map[string]any{}, []string{}
		for _, p := range f.Fields {
			properties[p.Name] = schema(types, p, of.fields[p.GoName])
			if !p.Optional {
				required = append(required, p.Name)
			}
		}
		slices.Sort(required) // so that the order of the fields does not matter
		s["properties"], s["required"] = properties, required
	}
	return s
}

// indented formats JSON as it is committed, with sorted keys.
func indented(document any) string {
	if raw, ok := document.(json.RawMessage); ok {
		_ = json.Unmarshal(raw, &document) // it came from an encoder
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		panic(err) // maps and strings
	}
	return string(text) + "\n"
}

// indescribable returns the parts of a payload that JSON Schema cannot describe.
func indescribable(f service.Field) (found []string) {
	if f.Type == "" {
		return []string{"the type " + f.GoType}
	}
	for _, part := range f.Fields {
		for _, fault := range indescribable(part) {
			found = append(found, part.Name+", "+fault)
		}
	}
	if f.Elements != nil {
		found = append(found, indescribable(*f.Elements)...)
	}
	return found
}
