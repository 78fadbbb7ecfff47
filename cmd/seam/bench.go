package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"example.com/shop/load"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/process"
)

const aboutBench = `seam bench places orders with the shop at URL and shows how long its customers waited, as in: seam bench --clients 8 --for 30s http://localhost:8080
With --clients each client sends its next order when it has its answer. With --rate orders are sent at that pace whatever the answers do, and
an order's time counts from when it was due. One order after the other is also followed, by asking for it, until it is confirmed.
The orders are real: they take stock, money and mail of the shop. Ctrl-C ends the run and shows what it has. After --for, it waits
half a minute at most for what is still to come.`

// followPause is the pause between two questions about the order that is followed: its time is too long by up to that, and the shop has
// 200 requests a second more at the most.
const followPause = 5 * time.Millisecond

// After a run, orders that were due are sent for so long at the most, and the one that is followed has so long to end.
const (
	sendUntil   = 5 * time.Second
	followUntil = 30 * time.Second
)

// runBench is make bench's load for any shop, and nothing to compare with.
func runBench(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	plan := load.Plan{}
	set.IntVar(&plan.Clients, "clients", 0, "how many order at the same time (default 8, unless there is a rate)")
	set.IntVar(&plan.Rate, "rate", 0, "orders a second, from as many clients as that takes")
	set.DurationVar(&plan.For, "for", 10*time.Second, "how long")
	token := set.String("token", "", "a customer's token (default: one for the shop that seam up starts here, as of seam token)")
	words, err := parseAnywhere(set, aboutBench, args)
	if err != nil {
		return err
	}
	base := &url.URL{}
	if len(words) == 1 {
		base, err = url.Parse(words[0])
	}
	switch {
	case err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https":
		return process.Usage(errors.New("name one URL, as in seam bench http://localhost:8080"))
	case plan.Clients < 0 || plan.Rate < 0 || plan.Clients > 0 && plan.Rate > 0:
		return process.Usage(errors.New("say --clients or --rate, with a number above 0"))
	case plan.For <= 0:
		return process.Usage(errors.New("--for must be longer than nothing"))
	}
	if plan.Rate == 0 {
		plan.Clients = cmp.Or(plan.Clients, 8)
	}
	if *token == "" {
		key, err := developmentKey()
		if err != nil {
			return fmt.Errorf("%w, or give a --token", err)
		}
		*token = key.Mint(tokens.Claims{Role: "customer", Subject: "bench", TTL: tokenLife})
	}
	shop := load.Shop{URL: base.String(), Token: *token}
	plan.SKUs, err = shop.SKUs(ctx)
	if _, silent := errors.AsType[*url.Error](err); silent && ctx.Err() == nil {
		return process.Usage(fmt.Errorf("no shop answers: start one with make run, or name its URL (%w)", err))
	}
	if err != nil {
		return fmt.Errorf("find something to order: %w", err)
	}
	plan.URL, plan.Tokens = shop.URL, []string{*token}
	return placeAndShow(ctx, plan, shop)
}

// measured is what a run has come to so far. The follower and the clock read it while it goes on.
type measured struct {
	mu        sync.Mutex
	placed    load.Times
	refused   int
	refusal   error // the last one
	confirmed load.Times
	cancelled int
	lost      int   // of those followed
	loss      error // the last one
}

// placeAndShow places the orders, tells every second how far it has come, and shows everything at the end.
func placeAndShow(ctx context.Context, plan load.Plan, shop load.Shop) error {
	m := &measured{}
	newest := make(chan load.Order) // unbuffered: an order that had to wait for its follower would seem to have taken longer
	ended := make(chan struct{})
	following, giveUp := context.WithTimeout(ctx, plan.For+followUntil)
	defer giveUp()
	var telling sync.WaitGroup
	telling.Go(func() { m.follow(following, shop, newest) })
	began := time.Now()
	telling.Go(func() { m.progress(began, ended) })
	sending, stop := context.WithTimeout(ctx, plan.For+sendUntil)
	defer stop()
	err := plan.Run(sending, func(o load.Order) {
		m.add(o)
		if o.Err == nil {
			select {
			case newest <- o:
			default: // another one is being followed
			}
		}
	})
	took := time.Since(began)
	close(newest)
	close(ended)
	telling.Wait()
	if err != nil {
		return err
	}
	if due := int(float64(plan.Rate) * plan.For.Seconds()); ctx.Err() == nil && len(m.placed)+m.refused < due {
		fmt.Printf("%d of %d orders were sent: this machine can send no more\n", len(m.placed)+m.refused, due)
	}
	return m.show(took)
}

func (m *measured) add(o load.Order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.Err != nil {
		m.refused, m.refusal = m.refused+1, o.Err
		return
	}
	m.placed = append(m.placed, o.Took)
}

// follow follows one order after the other. An order that is not settled when the run is interrupted does not count.
func (m *measured) follow(ctx context.Context, shop load.Shop, newest <-chan load.Order) {
	for o := range newest {
		status, err := shop.Follow(ctx, o.ID, followPause)
		took := time.Since(o.Due)
		m.mu.Lock()
		switch {
		case errors.Is(err, context.Canceled):
		case err != nil:
			m.lost, m.loss = m.lost+1, err
		case status == "confirmed":
			m.confirmed = append(m.confirmed, took)
		default:
			m.cancelled++
		}
		m.mu.Unlock()
	}
}

func (m *measured) progress(began time.Time, ended <-chan struct{}) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	before := 0
	for {
		select {
		case <-ended:
			return
		case <-second.C:
			m.mu.Lock()
			latest := m.placed[before:]
			fmt.Fprintf(os.Stderr, "%4.0f s  %d orders/s, median %s, p99 %s, %d refused\n",
				time.Since(began).Seconds(), len(latest), short(latest.At(50)), short(latest.At(99)), m.refused)
			before = len(m.placed)
			m.mu.Unlock()
		}
	}
}

func (m *measured) show(took time.Duration) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\torders\tper second\tmedian\tp99\tworst\t\n")
	line := func(what, perSecond string, t load.Times) {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t\n", what, len(t), perSecond, short(t.At(50)), short(t.At(99)), short(t.At(100)))
	}
	line("from POST to its answer", fmt.Sprintf("%.0f", float64(len(m.placed))/took.Seconds()), m.placed)
	line("from POST to confirmed, of those followed", "", m.confirmed)
	if err := table.Flush(); err != nil {
		return err
	}
	if m.cancelled > 0 {
		fmt.Printf("%d of those followed were cancelled; when the stock is gone, they all are\n", m.cancelled)
	}
	if m.lost > 0 {
		fmt.Printf("%d of those followed were not seen to end, the last because of: %v\n", m.lost, m.loss)
	}
	switch {
	case m.refused > 0:
		return fmt.Errorf("%d orders were refused, the last with: %w", m.refused, m.refusal)
	case m.lost > 0:
		return errors.New("an order that was followed did not end")
	}
	return nil
}

// short is a time to three digits or so.
func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
