package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutRoute = `seam route show                              which upstream serves how much of each route
seam route set ROUTE UPSTREAM=PERCENT …      move weight, as in: seam route set MODULE monolith=90 MODULE=10
seam route rollback                          restore the version before the last change; a second time undoes that
seam route check                             say whether the gateway would take the file
The file is GATEWAY_ROUTES (deploy/routes.yaml). A gateway that serves it applies a change within a second.
For a route with a shadow, show asks the gateway at GATEWAY_OPS_URL (http://127.0.0.1:8081) how the answers compare.`

// route reads and changes the routes file, which any number of gateways may watch.
func route(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("route", flag.ContinueOnError)
	asJSON := set.Bool("json", false, "print JSON")
	words, err := flags.ParseAnywhere(set, aboutRoute, args)
	if err != nil {
		return err
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	if err := changeRoutes(s.Routes, words); err != nil {
		return process.Usage(err)
	}
	file, err := routes.Load(s.Routes)
	if err != nil {
		return process.Usage(err)
	}
	shown := newShownFile(file)
	if slices.Equal(words, []string{"show"}) {
		shown.askGateway(ctx, s.GatewayOps)
	}
	// Every verb ends by showing what is now in the file.
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(shown)
	}
	fmt.Printf("%s:\n", s.Routes)
	printRoutes(os.Stdout, shown)
	return nil
}

// changeRoutes changes the file. Show and check only read it, as every verb does in the end.
func changeRoutes(path string, words []string) error {
	switch {
	case slices.Equal(words, []string{"show"}), slices.Equal(words, []string{"check"}):
		return nil
	case slices.Equal(words, []string{"rollback"}):
		return routes.Rollback(path)
	case len(words) > 2 && words[0] == "set":
		weights := map[string]int{}
		for _, word := range words[2:] {
			upstream, percent, _ := strings.Cut(word, "=")
			weight, err := strconv.Atoi(percent)
			if err != nil {
				return fmt.Errorf("%s is not like monolith=90", word)
			}
			weights[upstream] = weight
		}
		return routes.SetWeights(path, words[1], weights)
	default:
		return errors.New("say show, set ROUTE UPSTREAM=PERCENT …, rollback or check; seam route --help explains them")
	}
}

func printRoutes(out io.Writer, file shownFile) {
	for _, name := range slices.Sorted(maps.Keys(file.Routes)) {
		r := file.Routes[name]
		fmt.Fprintf(out, "%-14s %-20s", name, r.Prefix)
		for _, side := range r.Sides {
			fmt.Fprintf(out, "  %s %d%%", side.Upstream, side.Weight)
		}
		if r.Home() == "" {
			fmt.Fprint(out, "  paused")
		} else {
			fmt.Fprintf(out, "  writes to %s", r.Home())
		}
		if r.Shadow != nil {
			fmt.Fprintf(out, "  shadow %s %d%%", r.Shadow.Upstream, r.Shadow.Percent)
		}
		fmt.Fprintln(out)
		printShadowed(out, r)
	}
}
