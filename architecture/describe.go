package architecture

import (
	"fmt"
	"go/ast"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Describe describes an event's payload; faults are what JSON Schema cannot describe.
func (t Tree) Describe(e Event) (payload Field, faults []string) {
	d := describer{types: map[string]typeSpec{}, writes: map[string]string{}}
	for _, file := range t.contractFiles(e.Module) {
		for _, decl := range t.Go(file).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && slices.Contains(ownJSON, f.Name.Name) {
				d.writes[receiver(f)] = f.Name.Name
			}
		}
		for spec, doc := range types(t.Go(file)) {
			d.types[spec.Name.Name] = typeSpec{spec.Type, doc}
		}
	}
	return d.named(e.Name), d.faults
}

type typeSpec struct {
	of  ast.Expr
	doc string
}

func oneLine(docs ...*ast.CommentGroup) string {
	var words []string
	for _, doc := range docs {
		words = append(words, strings.Fields(doc.Text())...) // nil has no text
	}
	return strings.Join(words, " ")
}

// ownJSON are the methods that make a type's JSON differ from its fields.
var ownJSON = []string{"MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText",
	"MarshalJSONTo", "UnmarshalJSONFrom"}

// describer describes Go types as encoding/json writes them.
type describer struct {
	types  map[string]typeSpec // those that the contract declares
	writes map[string]string   // types with such a method → the method
	inside []string            // the types around the current one, to stop at a cycle
	faults []string
}

// plain are the types that become one JSON value.
var plain = map[string]Field{
	"string": {Type: "string"}, "bool": {Type: "boolean"},
	"int": {Type: "integer", Format: "int64"}, "int64": {Type: "integer", Format: "int64"},
	"int32": {Type: "integer", Format: "int32"}, "int16": {Type: "integer", Format: "int32"},
	"int8": {Type: "integer", Format: "int32"}, "uint": {Type: "integer", Format: "int64"},
	"uint64": {Type: "integer", Format: "int64"}, "uint32": {Type: "integer", Format: "int64"},
	"uint16": {Type: "integer", Format: "int32"}, "uint8": {Type: "integer", Format: "int32"},
	"byte":    {Type: "integer", Format: "int32"},
	"float64": {Type: "number", Format: "double"}, "float32": {Type: "number", Format: "float"},
	"time.Time": {Type: "string", Format: "date-time"}, "time.Duration": {Type: "integer", Format: "int64"},
}

func (d *describer) value(e ast.Expr) Field {
	switch e := e.(type) {
	case *ast.Ident:
		if f, ok := plain[e.Name]; ok && d.types[e.Name].of == nil {
			return f
		}
		if e.Name == "any" && d.types[e.Name].of == nil {
			return d.fault(e, "any")
		}
		return d.named(e.Name)
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok {
			if f, ok := plain[pkg.Name+"."+e.Sel.Name]; ok {
				return f
			}
			return d.fault(e, pkg.Name+"."+e.Sel.Name)
		}
	case *ast.StarExpr:
		f := d.value(e.X)
		f.Nullable = true
		return f
	case *ast.ArrayType:
		if name, ok := e.Elt.(*ast.Ident); ok && e.Len == nil && (name.Name == "byte" || name.Name == "uint8") {
			return Field{Type: "string", Format: "byte"} // base64
		}
		elements := d.value(e.Elt)
		return Field{Type: "array", Elements: &elements}
	case *ast.MapType:
		values := d.value(e.Value)
		return Field{Type: "object", Elements: &values}
	case *ast.StructType:
		return Field{Type: "object", Fields: d.fields(e)}
	}
	return d.fault(e, "a type like this")
}

// named describes a type that the contract declares.
func (d *describer) named(name string) Field {
	spec := d.types[name]
	if spec.of == nil || slices.Contains(d.inside, name) {
		d.faults = append(d.faults, name+" is not a type of this contract, or contains itself")
		return Field{}
	}
	if method, ok := d.writes[name]; ok {
		d.faults = append(d.faults, name+" has the method "+method+", so its fields do not show what is sent")
	}
	d.inside = append(d.inside, name)
	f := d.value(spec.of)
	d.inside = d.inside[:len(d.inside)-1]
	if f.Doc == "" {
		f.Doc = spec.doc
	}
	return f
}

func (d *describer) fault(e ast.Expr, what string) Field {
	d.faults = append(d.faults, fmt.Sprintf("line %d: %s cannot be described in JSON Schema here; "+
		"use strings, numbers, time.Time, or structs, slices and maps of those", Line(e), what))
	return Field{}
}

func (d *describer) fields(s *ast.StructType) []Field {
	var found []Field
	for _, f := range s.Fields.List {
		var tag reflect.StructTag
		if f.Tag != nil {
			text, _ := strconv.Unquote(f.Tag.Value) // a literal that was parsed
			tag = reflect.StructTag(text)
		}
		name, options, _ := strings.Cut(tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		if len(f.Names) == 0 && name == "" { // embedded: its fields are the struct's own
			found = append(found, d.value(f.Type).Fields...)
			continue
		}
		for _, goName := range exported(f) {
			p := d.value(f.Type)
			p.Name = name
			if name == "" {
				p.Name = goName
			}
			if doc := oneLine(f.Doc, f.Comment); doc != "" {
				p.Doc = doc
			}
			given := strings.Split(options, ",")
			p.Optional = slices.Contains(given, "omitempty") || slices.Contains(given, "omitzero")
			p.Nullable = p.Nullable && !p.Optional // a nil that is left out is never null
			if slices.Contains(given, "string") {
				p.Type, p.Format = "string", ""
			}
			found = append(found, p)
		}
	}
	return found
}

func exported(f *ast.Field) []string {
	if len(f.Names) == 0 {
		return []string{"embedded under the name in its tag"}
	}
	var found []string
	for _, name := range f.Names {
		if name.IsExported() {
			found = append(found, name.Name)
		}
	}
	return found
}
