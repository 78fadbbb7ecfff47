package architecture

import (
	"go/ast"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// fields reads a struct as encoding/json would write it. inside are the types around it: one that contains itself ends there.
func fields(of *ast.StructType, declared map[string]ast.Expr, inside []string) []Field {
	found := []Field{}
	for _, field := range of.Fields.List {
		tag := ""
		if field.Tag != nil {
			text, _ := strconv.Unquote(field.Tag.Value)
			tag = reflect.StructTag(text).Get("json")
		}
		name, _, _ := strings.Cut(tag, ",")
		if tag == "-" {
			continue
		}
		names := field.Names
		if len(names) == 0 { // an embedded struct: its fields stand beside the others, unless its tag makes one field of it
			if embedded, ok := resolve(field.Type, declared).(*ast.StructType); ok && name == "" {
				found = append(found, fields(embedded, declared, inside)...)
			}
			if name == "" {
				continue
			}
			names = []*ast.Ident{ast.NewIdent("Embedded")}
		}
		for _, ident := range names {
			if ident.IsExported() {
				f := Field{Name: name}
				if name == "" {
					f.Name = ident.Name
				}
				f.Type, f.Fields = typeOf(field.Type, declared, inside)
				found = append(found, f)
			}
		}
	}
	return found
}

// resolve follows the contract's own names to the type behind them.
func resolve(of ast.Expr, declared map[string]ast.Expr) ast.Expr {
	for range len(declared) + 2 {
		switch x := of.(type) {
		case *ast.StarExpr:
			of = x.X
		case *ast.ParenExpr:
			of = x.X
		case *ast.Ident:
			if declared[x.Name] == nil {
				return of
			}
			of = declared[x.Name]
		default:
			return of
		}
	}
	return of
}

// typeOf is a type as a listener in any language would say it, and its fields if it is an object or a list of objects.
func typeOf(of ast.Expr, declared map[string]ast.Expr, inside []string) (string, []Field) {
	switch x := of.(type) {
	case *ast.StarExpr:
		text, fields := typeOf(x.X, declared, inside)
		return text + " or null", fields
	case *ast.ArrayType:
		if b, ok := x.Elt.(*ast.Ident); ok && b.Name == "byte" && x.Len == nil {
			return "base64 string", nil
		}
		text, fields := typeOf(x.Elt, declared, inside)
		return "[]" + text, fields
	case *ast.MapType:
		text, fields := typeOf(x.Value, declared, inside)
		return "map of " + text, fields
	case *ast.StructType:
		return "object", fields(x, declared, inside)
	case *ast.Ident:
		own, ok := declared[x.Name]
		switch {
		case !ok:
			return x.Name, nil
		case slices.Contains(inside, x.Name):
			return x.Name, nil // once more
		default:
			return typeOf(own, declared, append(slices.Clip(inside), x.Name))
		}
	case *ast.SelectorExpr: // the standard library's: a contract imports nothing else
		if library, ok := x.X.(*ast.Ident); ok {
			return library.Name + "." + x.Sel.Name, nil
		}
	}
	return "any", nil
}
