package service

import (
	"encoding/json"
	"log/slog"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"example.com/shop/platform/web"
)

// Description is what a module offers and uses, asked of the module itself.
type Description struct {
	Module     string   `json:"module"`
	Publishes  []Event  `json:"publishes"`
	Subscribes []string `json:"subscribes"` // topics
	// Packages of other modules whose values it holds, so that it can call them, and of functions that
	// it holds and that are neither its own nor the standard library's.
	Reaches    []string        `json:"reaches"`
	Migrations []string        `json:"migrations"` // the files
	OpenAPI    json.RawMessage `json:"openapi"`
}

// Event is a type of a module's contract that it publishes.
type Event struct {
	Topic   string `json:"topic"`
	Type    string `json:"type"`
	Payload Field  `json:"payload"`
}

// Field is a value of an event's payload, in terms of JSON.
type Field struct {
	Name     string  `json:"name,omitempty"`     // of the property
	GoName   string  `json:"go_name,omitempty"`  // of the field
	GoType   string  `json:"go_type,omitempty"`  // of a named type, or one that JSON Schema cannot describe
	Type     string  `json:"type,omitempty"`     // as in JSON Schema; empty for what it cannot describe
	Format   string  `json:"format,omitempty"`   // int64, date-time, …
	Optional bool    `json:"optional,omitempty"` // it may be left out
	Nullable bool    `json:"nullable,omitempty"` // it may be null
	Fields   []Field `json:"fields,omitempty"`   // of an object
	Elements *Field  `json:"elements,omitempty"` // of an array, or the values of a map
}

// Describe describes a module. It starts nothing, and opens no database.
func Describe(name string, m Module) (Description, error) {
	d := Description{Module: name, Publishes: []Event{}, Subscribes: []string{}, Reaches: []string{}}
	for _, e := range m.Publishes() {
		of := reflect.TypeOf(e)
		d.Publishes = append(d.Publishes, Event{e.Topic(), of.Name(), fieldOf(of, nil)})
	}
	for _, h := range m.Handlers() {
		d.Subscribes = append(d.Subscribes, h.Topic())
	}
	server := web.New(web.Config{}, nil, slog.New(slog.DiscardHandler), nil)
	if err := server.Mount(name, m.Routes); err != nil {
		return d, err
	}
	d.OpenAPI = server.OpenAPI(name)
	r := reach{home: pointee(reflect.TypeOf(m)).PkgPath(), seen: map[visit]bool{}}
	r.value(reflect.ValueOf(m))
	d.Reaches = append(d.Reaches, r.found...)
	slices.Sort(d.Reaches)
	return d, nil
}

// reach finds the values of other modules that a value holds, at any depth of the module's own
// types and of those of package main. It does not look into platform's and libraries' types, nor
// into what a function has captured: so every function that is not the module's own is named.
type reach struct {
	home  string // the module's package
	seen  map[visit]bool
	found []string
}

type visit struct {
	of reflect.Type
	at unsafe.Pointer
}

func (r *reach) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			r.value(v.Elem())
		}
	case reflect.Pointer:
		if key := (visit{v.Type(), v.UnsafePointer()}); !v.IsNil() && !r.seen[key] {
			r.seen[key] = true
			if r.enters(pointee(v.Type()).PkgPath()) {
				r.value(v.Elem())
			}
		}
	case reflect.Func:
		if f := runtime.FuncForPC(v.Pointer()); f != nil {
			name := f.Name() // example.com/shop/modules/lamps.(*Module).Light-fm
			slash := strings.LastIndex(name, "/") + 1
			pkg, _, _ := strings.Cut(name[slash:], ".")
			if pkg = name[:slash] + pkg; pkg != r.home && (pkg == "main" || strings.Contains(pkg, ".")) { // not the standard library
				r.record(pkg)
			}
		}
	case reflect.Struct:
		if r.enters(v.Type().PkgPath()) {
			for i := range v.NumField() {
				r.value(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			r.value(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			r.value(key)
			r.value(v.MapIndex(key))
		}
	}
}

// enters reports whether the fields of a package's types are looked at, and records a package of
// another module.
func (r *reach) enters(pkg string) bool {
	if pkg == "" || pkg == r.home || pkg == "main" {
		return true
	}
	if strings.Contains(pkg, path.Dir(r.home)+"/") {
		r.record(pkg)
	}
	return false
}

func (r *reach) record(pkg string) {
	if !slices.Contains(r.found, pkg) {
		r.found = append(r.found, pkg)
	}
}

// pointee returns what a type points to, or the type itself if it is no pointer.
func pointee(of reflect.Type) reflect.Type {
	if of.Kind() == reflect.Pointer {
		return of.Elem()
	}
	return of
}

// formats are the JSON Schema types of Go's kinds.
var formats = map[reflect.Kind][2]string{
	reflect.String: {"string", ""}, reflect.Bool: {"boolean", ""},
	reflect.Int: {"integer", "int64"}, reflect.Int64: {"integer", "int64"}, reflect.Int32: {"integer", "int32"},
	reflect.Int16: {"integer", "int32"}, reflect.Int8: {"integer", "int32"}, reflect.Uint32: {"integer", "int64"},
	reflect.Uint16: {"integer", "int32"}, reflect.Uint8: {"integer", "int32"},
	reflect.Float64: {"number", "double"}, reflect.Float32: {"number", "float"},
}

// fieldOf describes a type as encoding/json writes it. What it cannot describe has no Type: an
// interface, a type with its own way of writing JSON, or one that contains itself.
func fieldOf(of reflect.Type, inside []reflect.Type) (f Field) {
	if of.Kind() == reflect.Pointer {
		f = fieldOf(of.Elem(), inside)
		f.Nullable = true
		return f
	}
	if of.PkgPath() == "time" && of.Name() == "Time" {
		return Field{Type: "string", Format: "date-time"}
	}
	if of.PkgPath() != "" {
		f.GoType = of.String()
	}
	if slices.Contains(inside, of) || writesItself(of) {
		return f
	}
	inside = append(slices.Clone(inside), of)
	switch of.Kind() {
	case reflect.Slice, reflect.Array:
		if of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Uint8 {
			f.Type, f.Format = "string", "byte" // base64
			return f
		}
		elements := fieldOf(of.Elem(), inside)
		f.Type, f.Elements = "array", &elements
	case reflect.Map:
		values := fieldOf(of.Elem(), inside)
		f.Type, f.Elements = "object", &values
	case reflect.Struct:
		f.Type, f.Fields = "object", fieldsOf(of, inside)
	default:
		f.Type, f.Format = formats[of.Kind()][0], formats[of.Kind()][1]
		if f.Type == "" {
			f.GoType = of.String()
		}
	}
	return f
}

func fieldsOf(of reflect.Type, inside []reflect.Type) (fields []Field) {
	for i := range of.NumField() {
		field := of.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
			continue
		case field.Anonymous && name == "" && pointee(field.Type).Kind() == reflect.Struct: // its fields are the struct's own
			fields = append(fields, fieldOf(field.Type, inside).Fields...)
			continue
		case !field.IsExported():
			continue
		}
		f := fieldOf(field.Type, inside)
		f.Name, f.GoName = name, field.Name
		if name == "" {
			f.Name = field.Name
		}
		given := strings.Split(options, ",")
		f.Optional = slices.Contains(given, "omitempty") || slices.Contains(given, "omitzero")
		f.Nullable = f.Nullable && !f.Optional // a nil that is left out is never null
		if slices.Contains(given, "string") {
			f.Type, f.Format = "string", ""
		}
		fields = append(fields, f)
	}
	return fields
}

// writesItself reports whether a type's fields do not show how it is written.
func writesItself(of reflect.Type) bool {
	for _, method := range []string{"MarshalJSON", "MarshalText"} {
		if _, has := reflect.PointerTo(of).MethodByName(method); has {
			return true
		}
	}
	return false
}
