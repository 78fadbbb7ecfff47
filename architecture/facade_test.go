package architecture

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
)

// thinFacade keeps cmd/gateway a router: it restricts its imports, its use of bodies, and its size.
var thinFacade = rule{
	name: "facade",
	why: "logic in the façade is logic that no module owns, which every extraction has to move again; " +
		`see "A façade that grows logic" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		lines := 0
		for _, file := range t.sources("cmd/gateway") {
			f.subjects++
			lines += code(t[file])
			for _, i := range t.Imports(file) {
				if !slices.Contains(facadeMay, i.Path) && (!standard(i.Path) || slices.Contains(facadeMayNot, i.Path)) {
					f.add(file+":"+strconv.Itoa(i.Line), "imports "+i.Path,
						"do it in the module that the request goes to; the imports for routing are listed in "+
							"architecture/facade_test.go")
				}
			}
			bodies(t, file, &f)
		}
		for _, l := range t.Links("cmd/" + facade) {
			_, ours := Inside(Path + "/" + l.Package)
			if l.Via != "cmd/"+facade && ours &&
				(!standard(l.Package) && !slices.Contains(facadeLinks, l.Package) ||
					slices.Contains(facadeMayNot, l.Package)) {
				f.add(l.Via, "imports "+l.Package+", which the façade links through it",
					"move it to a package that the façade does not import; the allowed imports are listed in "+
						"architecture/facade_test.go")
			}
		}
		budget := func(folder string, lines, budget int) {
			if lines > budget {
				f.add(folder, fmt.Sprintf("has %d lines of code, and its budget is %d", lines, budget),
					"delete as much as was added: "+facadeReason)
			}
		}
		budget("cmd/gateway", lines, facadeLines)
		lines = 0
		for _, file := range t.sources("cmd/gateway/routes") {
			lines += code(t[file])
		}
		budget("cmd/gateway/routes", lines, routesLines)
		return f
	},
}

// The façade's budget, in lines that are neither empty nor comments. ReverseProxy with canary,
// health, resend and probes takes about two thirds of it, shadowing a quarter, and the listener for
// the shop's own calls, which a flood from outside must not reach, the rest. The package routes,
// which seam and rule routing use too, parses and checks a routes file.
const (
	facadeLines  = 940
	routesLines  = 350
	facadeReason = "a router that cannot be read in one sitting is no longer trusted to change nothing"
)

// facadeMay is what the façade may import besides the standard library, of which facadeMayNot is
// excepted.
var (
	facadeMay = []string{
		Path + "/cmd/gateway/routes", Path + "/platform/edge", Path + "/platform/process", Path + "/platform/remote", Path + "/platform/telemetry", Path + "/platform/traceparent",
		"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp", "go.opentelemetry.io/otel/trace",
		"go.opentelemetry.io/otel/propagation", "golang.org/x/sync/errgroup",
	}
	// facadeLinks is what our own packages in facadeMay may import.
	facadeLinks = []string{
		"github.com/caarlos0/env/v11", "github.com/go-logr/logr", "github.com/rs/cors", "go.yaml.in/yaml/v3", "golang.org/x/sync/errgroup",
		"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/propagation",
		"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp",
		"go.opentelemetry.io/otel/sdk/resource", "go.opentelemetry.io/otel/sdk/trace",
	}
	facadeMayNot = []string{"database/sql", "encoding/xml", "encoding/gob", "encoding/csv", "html/template",
		"text/template", "mime/multipart", "os/exec", "plugin"}
)

// comparing is the only file that decodes: two answers to the same read, outside of the client's
// request.
const comparing = "cmd/gateway/compare.go"

// bodyOf are the functions that use a body, and why. None of them reads its contents.
var bodyOf = map[string]string{
	"cmd/gateway/receive.go receive":  "it is kept until it is whole, and may have no more than its route says",
	"cmd/gateway/replace.go replace":  "it is the façade's own routes file, from an operator",
	"cmd/gateway/resend.go RoundTrip": "a small one is kept for a retry",
	"cmd/gateway/resend.go send":      "it is sent, or sent again",
	"cmd/gateway/shadow.go follow":    "the answer is copied on its way to the client",
	"cmd/gateway/shadow.go ask":       "the shadow's own answer, which the client never sees",
	"cmd/gateway/upstream.go ask":     "a probe's answer is discarded, so that its connection is reused",
}

// deciding are the functions that use headers or the query, and why. None of them chooses a module
// by them.
var deciding = map[string]string{
	"cmd/gateway/gateway.go ServeHTTP":    "staff may ask for one side of a canary, and WebSockets are refused",
	"cmd/gateway/gateway.go rewrite":      "headers that only the façade sets are removed, and the query is passed on as it came",
	"cmd/gateway/gateway.go answered":     "the answer says which side gave it",
	"cmd/gateway/problem.go writeProblem": "an answer of its own",
	"cmd/gateway/receive.go receive":      "a body that has arrived has no trailer to pass on",
	"cmd/gateway/resend.go RoundTrip":     "a request with an Idempotency-Key may be sent again",
	"cmd/gateway/table.go choose":         "a retry with the same Idempotency-Key goes to the same side",
	"cmd/gateway/replace.go replace":      "an operator's secret, on the listener for operators",
	"cmd/gateway/replace.go status":       "an answer of its own",
}

// bodies refuses any other use of a body, and any decoding outside of comparing.
func bodies(t Tree, file string, f *findings) {
	const fix = "decide by method, path and headers; the contents are for the module. " +
		"Which functions may forward a body is listed in architecture/facade_test.go"
	for _, decl := range t.Go(file).Decls {
		within := "a variable"
		if fun, ok := decl.(*ast.FuncDecl); ok {
			within = fun.Name.Name
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			use, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch name := use.Sel.Name; name {
			case "Query", "RawQuery", "ParseQuery", "RequestURI", "Header", "Trailer", "Cookie", "Cookies", "CookiesNamed", "UserAgent",
				"Referer", "BasicAuth", "RemoteAddr", "TLS":
				if x, _ := use.X.(*ast.Ident); deciding[file+" "+within] == "" && (x == nil || x.Name != "http") { // no type
					f.add(At(use), "looks at what a client sent, by "+name+", in "+within,
						"decide by method and path: what depends on more is for the module. "+
							"Which functions may use a header or a query is listed in architecture/facade_test.go")
				}
			case "Body", "GetBody":
				if bodyOf[file+" "+within] == "" {
					f.add(At(use), "reads what is in a body, in "+within, fix)
				}
			case "FormValue", "PostFormValue", "ParseForm", "ParseMultipartForm", "MultipartReader", "FormFile", "Form",
				"PostForm", "MultipartForm", "DumpRequest", "DumpRequestOut", "DumpResponse":
				f.add(At(use), "reads what is in a body, by "+name, fix)
			case "Unmarshal", "NewDecoder":
				if x, ok := use.X.(*ast.Ident); ok && file != comparing {
					f.add(At(use), "reads what is in a body, by "+x.Name+"."+name, fix)
				}
			}
			return true
		})
	}
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
