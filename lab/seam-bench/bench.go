// Command seam-bench is the verb bench of seam: it places orders with a shop, and shows how long
// that takes.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"time"

	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
	"example.com/shop/tools/topology"
)

const aboutBench = `seam bench places orders with the shop at URL and shows how long they take, as in:
  seam bench --clients 8 --for 30s http://localhost:8080
With --clients each client waits for its answer before its next order. With --rate orders are sent at that
rate, whatever the answers, and their time counts from when they were due. One order after the other is
also polled until it is confirmed. The orders are real: they take stock, money and mail of the shop. If all
products are sold out and there is no --token, it restocks the first hundred, as staff, and says so. Ctrl-C
ends the run and shows what it has; so do two seconds of nothing but refusals, with an error. After --for,
it waits half a minute at most for what is still to come.`

const (
	// mostClients is more than one machine simulates well, and fewer than its ports.
	mostClients = 10000
	// restockBy is the most that one request may add.
	restockBy = 1_000_000
)

func main() {
	os.Exit(process.Main(process.Verb{
		Name: "bench", Args: "[--clients N | --rate N] [--for 10s] URL",
		Help: "place orders with a shop, and show how long that takes", Run: runBench,
	}))
}

func runBench(ctx context.Context, args []string) error {
	plan, token, err := readBench(args)
	if err != nil {
		return err
	}
	var key *tokens.Key // nil if a token is given: then there is no staff token either
	if token == "" {
		if key, err = signingKey(); err != nil {
			return fmt.Errorf("%w, or give a --token", err)
		}
		token = key.Mint(tokens.Claims{Role: "customer", Subject: "bench", TTL: 12 * time.Hour})
	}
	shop := load.Shop{URL: plan.URL, Token: token}
	if err := checkShop(ctx, shop, key != nil); err != nil {
		return err
	}
	plan.Tokens = []string{token}
	for c := 1; key != nil && c < customers; c++ {
		plan.Tokens = append(plan.Tokens,
			key.Mint(tokens.Claims{Role: "customer", Subject: fmt.Sprintf("bench-%d", c), TTL: 12 * time.Hour}))
	}
	if plan.SKUs, err = findStock(ctx, shop, key); err != nil {
		return err
	}
	return placeAndShow(ctx, plan, shop)
}

// customers is how many order in turn, because the shop limits each.
const customers = 1000

// settings are those of seam that bench needs.
type settings struct {
	// The folder of the signing key.
	State string `env:"SEAM_STATE"`
}

// signingKey returns the key of the shop that seam up starts here.
func signingKey() (*tokens.Key, error) {
	s, err := process.Config[settings]()
	if err != nil {
		return nil, err
	}
	return topology.SigningKey(cmp.Or(s.State, topology.DefaultState()))
}

// readBench reads the plan, without tokens and SKUs, and the token from the command line.
func readBench(args []string) (plan load.Plan, token string, err error) {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.IntVar(&plan.Clients, "clients", 8, "how many order at the same time, unless there is a rate")
	set.IntVar(&plan.Rate, "rate", 0, "orders a second, from as many clients as that takes")
	plan.For = 10 * time.Second
	set.Func("for", "how long, a `duration` such as 500ms, 30s or 2m (default 10s)", func(text string) (err error) {
		if plan.For, err = time.ParseDuration(text); err != nil {
			return errors.New("say a number and its unit, as in 500ms, 5s or 2m")
		}
		return nil
	})
	set.StringVar(&token, "token", "", "a customer's token (default: one for the shop that seam up starts here)")
	words, err := flags.ParseAnywhere(set, aboutBench, args)
	if err != nil {
		return plan, "", err
	}
	given := map[string]bool{}
	set.Visit(func(f *flag.Flag) { given[f.Name] = true })
	base := &url.URL{}
	if len(words) == 1 {
		base, err = process.BaseURL(words[0])
	}
	switch {
	case err != nil || base.Host == "":
		err = errors.New("name one URL, as in seam bench http://localhost:8080")
	case given["clients"] && given["rate"]:
		err = errors.New("say --clients or --rate, not both")
	case plan.Clients < 1:
		err = errors.New("--clients must be 1 or more")
	case plan.Clients > mostClients:
		err = fmt.Errorf("--clients must be %d or fewer", mostClients)
	case given["rate"] && plan.Rate < 1:
		err = errors.New("--rate must be 1 order a second or more")
	case plan.For <= 0:
		err = errors.New("--for must be longer than nothing")
	}
	if err != nil {
		return plan, "", process.Usage(err)
	}
	plan.URL = base.String()
	return plan, token, nil
}

func checkShop(ctx context.Context, shop load.Shop, minted bool) error {
	err := shop.Check(ctx)
	_, silent := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
		return nil
	case silent && ctx.Err() == nil:
		return process.Usage(fmt.Errorf("no shop answers: start one with make run, or name its URL (%w)", err))
	case errors.Is(err, load.ErrNoShop):
		return process.Usage(fmt.Errorf("%w: name the URL of one, as in http://localhost:8080", err))
	case errors.Is(err, load.ErrToken) && minted:
		return process.Usage(fmt.Errorf("%w: seam up did not start it here; give a --token of one of its customers", err))
	case errors.Is(err, load.ErrToken):
		return process.Usage(fmt.Errorf("%w: has it expired, or is it no customer's? "+
			"Make one with seam token --role customer --sub ada", err))
	}
	return fmt.Errorf("ask the shop for orders: %w", err)
}

// findStock returns the SKUs to order. If all are sold out and it has the key, it restocks.
func findStock(ctx context.Context, shop load.Shop, key *tokens.Key) (skus []string, err error) {
	skus, err = shop.SKUs(ctx)
	soldOut := errors.Is(err, load.ErrSoldOut)
	switch {
	case soldOut && key == nil:
		return nil, process.Usage(fmt.Errorf("%w: restock some, as staff, with POST /v1/inventory/products/{sku}/restock", err))
	case soldOut:
		staff := load.Shop{URL: shop.URL, Token: key.Mint(tokens.Claims{Role: "staff", Subject: "bench"})}
		products, restockErr := staff.Restock(ctx, restockBy)
		if restockErr != nil {
			return nil, fmt.Errorf("%w, and they cannot be restocked: %w", err, restockErr)
		}
		fmt.Fprintf(os.Stderr, "%v: restocked %d products with %d pieces each\n", err, products, restockBy)
		skus, err = shop.SKUs(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("find something to order: %w", err)
	}
	return skus, nil
}
