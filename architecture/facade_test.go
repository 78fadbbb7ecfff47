package architecture

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
)

// thinFacade keeps cmd/gateway a router: it imports what routing needs, reads no request's body, and stays within a size.
var thinFacade = rule{
	name: "facade",
	why: "logic in the façade is logic that no module owns, which every extraction has to move again; " +
		`see "A façade that grows logic" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		lines := 0
		for _, file := range t.Match("cmd/gateway/*.go") {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f.subjects++
			lines += code(t[file])
			for _, i := range t.Imports(file) {
				if !slices.Contains(facadeMay, i.Path) && (!standard(i.Path) || slices.Contains(facadeMayNot, i.Path)) {
					f.add(file+":"+strconv.Itoa(i.Line), "imports "+i.Path, "do it in the module that the request goes to; what routing itself needs is listed in architecture/facade_test.go")
				}
			}
			decodes(t, file, &f)
		}
		if lines > facadeLines {
			f.add("cmd/gateway", fmt.Sprintf("has %d lines of code, and its budget is %d", lines, facadeLines), "delete as much as was added: "+facadeReason)
		}
		return f
	},
	refuses: []plant{
		{name: "it imports a database driver", file: "cmd/gateway/also.go", text: "package main\n\nimport _ \"github.com/jackc/pgx/v5\"", want: "cmd/gateway/also.go:3: imports github.com/jackc/pgx/v5"},
		{name: "it imports the standard library's database", file: "cmd/gateway/also.go", text: "package main\n\nimport _ \"database/sql\"", want: "imports database/sql"},
		{name: "it imports a contract", file: "cmd/gateway/also.go", text: "package main\n\nimport _ \"example.com/shop/modules/orders/ordersapi\"", want: "imports example.com/shop/modules"},
		{name: "it decodes a request", file: "cmd/gateway/also.go",
			text: "package main\n\nimport (\n\t\"encoding/json\"\n\t\"net/http\"\n)\n\nfunc read(r *http.Request) (v any) { _ = json.NewDecoder(r.Body).Decode(&v); return v }", want: "json.NewDecoder"},
		{name: "it reads a form", file: "cmd/gateway/also.go",
			text: "package main\n\nimport \"net/http\"\n\nfunc read(r *http.Request) string { return r.FormValue(\"sku\") }", want: "FormValue"},
		{name: "it grows", file: "cmd/gateway/also.go", text: "package main\n" + strings.Repeat("var _ = 0\n", facadeLines), want: "its budget is"},
	},
	accepts: []plant{
		{name: "it writes an answer of its own", file: "cmd/gateway/also.go",
			text: "package main\n\nimport (\n\t\"encoding/json\"\n\t\"net/http\"\n)\n\nfunc write(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(1) }"},
		{name: "a test of it decodes", file: "cmd/gateway/also_test.go",
			text: "package main\n\nimport (\n\t\"encoding/json\"\n\t\"net/http\"\n)\n\nfunc read(r *http.Request) (v any) { _ = json.NewDecoder(r.Body).Decode(&v); return v }"},
		{name: "comments", file: "cmd/gateway/also.go", text: "package main\n" + strings.Repeat("// Why.\n", 250)},
	},
}

// The façade's budget, in lines that are neither empty nor comments. ReverseProxy with canary, health, resend and probes takes about
// two thirds of it, shadowing the rest.
const (
	facadeLines  = 950
	facadeReason = "a router that cannot be read in one sitting is no longer trusted to change nothing"
)

// facadeMay is what the façade imports beside the standard library; of which facadeMayNot is excepted.
var (
	facadeMay = []string{
		Shop + "/routes", Shop + "/platform/process", Shop + "/platform/telemetry",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/propagation",
		"golang.org/x/sync/errgroup",
	}
	facadeMayNot = []string{"database/sql", "encoding/xml", "encoding/gob", "encoding/csv", "html/template", "text/template", "mime/multipart", "os/exec", "plugin"}
)

// comparing is the one file that decodes: two answers to the same read, beside the client's way.
const comparing = "cmd/gateway/compare.go"

func decodes(t Tree, file string, f *findings) {
	ast.Inspect(t.Go(file), func(n ast.Node) bool {
		use, ok := n.(*ast.SelectorExpr)
		if !ok || file == comparing {
			return true
		}
		name := use.Sel.Name
		if x, ok := use.X.(*ast.Ident); ok {
			name = x.Name + "." + name
		}
		switch path.Ext("." + name) {
		case ".Unmarshal", ".NewDecoder", ".FormValue", ".PostFormValue", ".ParseForm", ".ParseMultipartForm", ".PostForm":
			f.add(At(use), "reads what is in a body, by "+name, "decide by method, path and headers; what is inside is the module's business")
		}
		return true
	})
}

// code counts the lines that are neither empty nor comments.
func code(text string) (lines int) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	return lines
}
