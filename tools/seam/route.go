package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"example.com/shop/cmd/gateway/routes"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/routing"
	"example.com/shop/tools/topology"
)

const aboutRoute = `seam route show                              which process serves how much of each route, and what it has handled
seam route set ROUTE UPSTREAM=PERCENT …      move weight, as in: seam route set MODULE monolith=90 MODULE=10
seam route add ROUTE UPSTREAM URL [PROBE]    add a side with weight 0, as in: seam route add MODULE MODULE http://host:8080
seam route remove ROUTE UPSTREAM             remove a side with weight 0
seam route rollback                          restore the version before the last change; a second time undoes that
seam route apply                             do the same for the file as you have edited it; also after a change that failed
seam route check                             say whether the file would be applied
A weight is a share of requests, events and jobs. A change is written to the modules' schemas (<MODULE>_DATABASE_URL, on their
runtime roles), to the file GATEWAY_ROUTES (deploy/routes.yaml), which a façade reads when it starts, and to each running façade
(GATEWAY_OPS_URL, their OPS_ADDR as URLs separated by commas: http://127.0.0.1:8081) with its GATEWAY_SECRET, in this order.
When the command has ended, all of it is in effect.`

// route reads and changes who serves what.
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
	edit, err := editOf(words)
	if err != nil {
		return process.Usage(err)
	}
	system, err := s.routing()
	if err != nil {
		return err
	}
	if edit != nil {
		if err := system.Change(ctx, edit); err != nil {
			return err
		}
	}
	file, err := routes.Load(s.Routes)
	if err != nil {
		return process.Usage(err)
	}
	shown := newShownFile(file)
	if words[0] == "show" {
		shown.addRunning(ctx, system)
	} else {
		answers := routing.Probe(ctx, file, routes.File{})
		if err := answers.Unserved(false); err != nil && words[0] == "check" {
			return process.Usage(err)
		}
		shown.addSilent(answers)
	}
	// Every verb ends by showing what is now in the file.
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(shown)
	}
	fmt.Printf("%s:\n", s.Routes)
	shown.print(os.Stdout)
	return nil
}

// routing returns where a change is made.
func (s settings) routing() (system routing.System, err error) {
	system = routing.System{File: s.Routes, Schemas: map[string]string{}, Facades: s.GatewayOps, Secret: s.GatewaySecret}
	for _, m := range topology.Modules {
		if system.Schemas[m], err = process.Value(setting(m)); err != nil {
			return system, err
		}
	}
	return system, nil
}

// editOf returns the change that the words ask for, nil for those that only read.
func editOf(words []string) (routing.Edit, error) {
	switch {
	case len(words) == 0:
	case slices.Equal(words, []string{"show"}), slices.Equal(words, []string{"check"}):
		return nil, nil
	case slices.Equal(words, []string{"rollback"}):
		return routing.Rollback, nil
	case slices.Equal(words, []string{"apply"}):
		return routing.AsItIs, nil
	case words[0] == "add" && (len(words) == 4 || len(words) == 5):
		return routing.AddSide(words[1], words[2], routes.Upstream{URL: words[3], Probe: strings.Join(words[4:], "")}), nil
	case words[0] == "remove" && len(words) == 3:
		return routing.RemoveSide(words[1], words[2]), nil
	case len(words) > 2 && words[0] == "set":
		weights := map[string]int{}
		for _, word := range words[2:] {
			upstream, percent, _ := strings.Cut(word, "=")
			weight, err := strconv.Atoi(percent)
			if err != nil {
				return nil, fmt.Errorf("%s is not like monolith=90", word)
			}
			weights[upstream] = weight
		}
		return routing.Weights(words[1], weights), nil
	}
	for form := range strings.Lines(aboutRoute) { // which the help begins with
		if form, _, ok := strings.Cut(form, "  "); ok && len(words) > 0 && strings.HasPrefix(form, "seam route "+words[0]+" ") {
			return nil, fmt.Errorf("say %s", form)
		}
	}
	return nil, errors.New("say show, set, add, remove, rollback, apply or check; seam route --help explains them")
}
