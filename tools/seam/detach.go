package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"example.com/shop/platform/process"
	"example.com/shop/tools/template"
)

// detachModule takes a module's code out of the monolith, as the last step of its extraction.
func detachModule(ctx context.Context, root string, files template.Files, name string) error {
	if !slices.Contains(files.Modules(), name) {
		return process.Usage(fmt.Errorf("there is no module %s; there are %s", name, strings.Join(files.Modules(), ", ")))
	}
	left, done, held, err := files.Detached(name, time.Now())
	if err != nil {
		return process.Usage(err)
	}
	if len(held) > 0 {
		return process.Usage(fmt.Errorf("%s cannot leave the monolith, because others there are made of it:\n  %s\n"+
			"let these take a Client of its contract first", name, strings.Join(held, "\n  ")))
	}
	var also string
	if callers := files.Callers(name); len(callers) > 0 {
		also = fmt.Sprintf("%s of the monolith calls it over HTTP: it needs SERVICE_TOKEN and, for the façade's GATEWAY_INTERNAL_ADDR, %s_URL.\n",
			strings.Join(callers, " and "), strings.ToUpper(name))
	}
	return change(ctx, root, files, left, nil, fmt.Sprintf(`
%[1]s has left the monolith for good:
  %[2]s
  deploy/compose.yaml: starts it, the broker and the façade, with the routes of deploy/routes/monolith.yaml, and gives it a database of its own
%[3]sNow read git diff, and commit it: git revert of that commit is the way back. Then
  make build && make test
and replace the monoliths that run, one by one, with BUS=nats as before.
`, name, strings.Join(done, "\n  "), also), func() error {
		fmt.Println("Building, and its tests …")
		if err := watched(os.Stdout, goCommand(ctx, root, "vet", "./cmd/...")); err != nil {
			return fmt.Errorf("build what is left: %w", err)
		}
		return nil
	})
}
