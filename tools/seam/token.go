package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
	"example.com/shop/platform/web"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

// tokenLife is long enough for a day's work, and no more.
const tokenLife = 12 * time.Hour

func token(_ context.Context, args []string) error {
	set := flag.NewFlagSet("token", flag.ContinueOnError)
	role := set.String("role", "", "customer, staff or service")
	subject := set.String("sub", "", "who the token is for, such as ada")
	ttl := set.Duration("ttl", tokenLife, "how long it is valid")
	if err := flags.Parse(set, "seam token prints a token for the system that seam up starts here.", args); err != nil {
		return err
	}
	if !slices.Contains([]string{"customer", "staff", "service"}, *role) {
		return process.Usage(errors.New("--role must be customer, staff or service"))
	}
	if *subject == "" || set.NArg() > 0 {
		return process.Usage(errors.New("--sub must name one person, as in --sub ada"))
	}
	longest := process.Defaults[web.Auth]().MaxLifetime
	if *role == "service" {
		longest = process.Defaults[web.Auth]().ServiceMaxLifetime
	}
	if *ttl > longest {
		return process.Usage(fmt.Errorf("--ttl may be %s at most: no process accepts a token that is good for longer", longest))
	}
	s, err := readSettings()
	if err != nil {
		return err
	}
	key, err := topology.SigningKey(s.State)
	if err != nil {
		return err
	}
	fmt.Println(key.Mint(tokens.Claims{Role: *role, Subject: *subject, TTL: *ttl}))
	return nil
}
