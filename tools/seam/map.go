package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"example.com/shop/architecture"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutMap = `seam map draws the system from the code of the repository: modules, tables, events, calls, and which
processes run. It needs no running system.
  seam map | pbcopy          Mermaid, for any page on GitHub, or https://mermaid.live, which makes a picture of it
  seam map --format json     for programs
seam generate brings the one in architecture/README.md up to date.`

// drawMap draws what the code does; architecture/contextmap.yaml says what it may do.
func drawMap(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("map", flag.ContinueOnError)
	format := set.String("format", "mermaid", "mermaid or json")
	if err := flags.ParseOnly(set, aboutMap, args); err != nil {
		return err
	}
	draw := map[string]func(architecture.Model) string{"mermaid": architecture.Model.Mermaid, "json": mapJSON}[*format]
	if draw == nil {
		return process.Usage(fmt.Errorf("there is no format %q; there are mermaid and json", *format))
	}
	root, err := repository()
	if err != nil {
		return err
	}
	tree, err := describedTree(ctx, root)
	if err != nil {
		return err
	}
	fmt.Print(draw(tree.Model()))
	return nil
}

// describedTree reads the repository, and asks its modules what they offer and use.
func describedTree(ctx context.Context, root string) (architecture.Tree, error) {
	tree, err := architecture.Read(root)
	if err != nil {
		return nil, err
	}
	return tree.Ask(ctx, root)
}

// rootModule matches the line of a go.mod that marks the root of a Seam repository.
var rootModule = regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(architecture.Path) + `\s*$`)

// repository returns the root of the repository around the current folder.
func repository() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod")) //nolint:gosec // a local file
		switch {
		case err == nil && rootModule.Match(text):
			return dir, nil
		case dir == filepath.Dir(dir):
			return "", process.Usage(fmt.Errorf("%s is in no Seam repository: "+
				"no folder from here upwards has a go.mod that says module %s, to which this seam belongs", here, architecture.Path))
		}
	}
}

func mapJSON(m architecture.Model) string {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(err) // strings and lists of them
	}
	return string(text) + "\n"
}
