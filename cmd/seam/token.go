package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
)

// tokenLife is long enough for a day's work, and no more.
const tokenLife = 12 * time.Hour

func token(_ context.Context, args []string) error {
	set := flag.NewFlagSet("token", flag.ContinueOnError)
	role := set.String("role", "", "customer, staff or service")
	subject := set.String("sub", "", "who the token is for, such as ada")
	ttl := set.Duration("ttl", tokenLife, "how long it is valid")
	if err := parse(set, "seam token prints a token for the shop that seam up starts here.", args); err != nil {
		return err
	}
	if !slices.Contains([]string{"customer", "staff", "service"}, *role) {
		return process.Usage(errors.New("--role must be customer, staff or service"))
	}
	if *subject == "" || set.NArg() > 0 {
		return process.Usage(errors.New("--sub must name one person, as in --sub ada"))
	}
	key, err := developmentKey()
	if err != nil {
		return err
	}
	fmt.Println(key.Mint(tokens.Claims{Role: *role, Subject: *subject, TTL: *ttl}))
	return nil
}

// developmentKey returns the signing key of the shop that seam up starts here.
func developmentKey() (*tokens.Key, error) {
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.State, "key.pem")
	if _, err := os.Stat(path); err != nil {
		return nil, process.Usage(fmt.Errorf("no shop was ever started here (%s is missing): run seam up first", path))
	}
	key, err := tokens.LoadOrCreate(path)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	return key, nil
}
