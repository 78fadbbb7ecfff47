package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"text/tabwriter"
	"time"

	"example.com/shop/lab/load"
)

// followPause is how often the followed order is polled. Its time is too long by up to that, and
// the shop gets at most 200 requests a second more.
const followPause = 5 * time.Millisecond

// How long after a run due orders are sent, and how long the followed one may take to end.
const (
	sendUntil   = 5 * time.Second
	followUntil = 30 * time.Second
)

const (
	// hopeless is how long every order may be refused before the run ends.
	hopeless = 2 * time.Second
	// quiet is how long the run may wait before it says for what.
	quiet = 2 * time.Second
)

// measured has the results so far, for concurrent use.
type measured struct {
	mu        sync.Mutex
	placed    load.Times
	refused   int
	refusal   error     // the last one
	since     time.Time // the first refusal after the last placed order; zero if there is none
	hopeless  bool      // only refusals, for too long
	confirmed load.Times
	cancelled int
	lost      int   // of those followed
	loss      error // the last one
}

// placeAndShow places the orders, prints progress every second, and all results at the end.
func placeAndShow(ctx context.Context, plan load.Plan, shop load.Shop) error {
	m := &measured{}
	newest := make(chan load.Order) // unbuffered: waiting for the follower would add to its time
	ended := make(chan struct{})
	following, giveUp := context.WithTimeout(ctx, plan.For+followUntil)
	defer giveUp()
	sending, stop := context.WithTimeout(ctx, plan.For+sendUntil)
	defer stop()
	due, done := context.WithTimeout(sending, plan.For)
	defer done()
	var follower, reporter sync.WaitGroup
	follower.Go(func() { m.follow(following, shop, newest) })
	began := time.Now()
	reporter.Go(func() { m.progress(began, due.Done(), ended) })
	err := plan.Run(sending, func(o load.Order) {
		m.add(o)
		if m.hopeless { // only add writes it, in this goroutine
			stop()
			giveUp()
		}
		if o.Err == nil {
			select {
			case newest <- o:
			default: // another one is being followed
			}
		}
	})
	took := time.Since(began)
	close(newest)
	follower.Wait()
	close(ended)
	reporter.Wait()
	if err != nil {
		return err
	}
	orders := int(float64(plan.Rate) * plan.For.Seconds())
	if ctx.Err() == nil && !m.hopeless && len(m.placed)+m.refused < orders {
		fmt.Printf("%d of %d orders were sent: this machine can send no more\n", len(m.placed)+m.refused, orders)
	}
	return m.show(took)
}

func (m *measured) add(o load.Order) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.Err != nil {
		m.refused, m.refusal = m.refused+1, o.Err
		answered := o.Due.Add(o.Took)
		if m.since.IsZero() {
			m.since = answered
		}
		m.hopeless = m.hopeless || answered.Sub(m.since) >= hopeless
		return
	}
	m.since = time.Time{}
	m.placed = append(m.placed, o.Took)
}

// follow follows one order at a time. One that an interrupt cuts off does not count.
func (m *measured) follow(ctx context.Context, shop load.Shop, newest <-chan load.Order) {
	for o := range newest {
		shop.Token = o.Token
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

// progress prints a line every second while orders are due, and then once what it waits for.
func (m *measured) progress(began time.Time, over, ended <-chan struct{}) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var waiting <-chan time.Time
	before := 0
	for {
		select {
		case <-ended:
			return
		case <-over:
			second.Stop()
			over, waiting = nil, time.After(quiet)
		case <-waiting:
			fmt.Fprintf(os.Stderr, "no more orders; waiting for answers, or for the order that is followed to end, "+
				"%s at most\n", followUntil-quiet)
		case <-second.C:
			m.mu.Lock()
			latest := m.placed[before:]
			fmt.Fprintf(os.Stderr, "%4.0f s  %d orders/s, median %s, p99 %s, %d refused\n",
				time.Since(began).Seconds(), len(latest), at(latest, 50), at(latest, 99), m.refused)
			before = len(m.placed)
			m.mu.Unlock()
		}
	}
}

func (m *measured) show(took time.Duration) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "\torders\tper second\tmedian\tp99\tworst\t\n")
	line := func(what, perSecond string, t load.Times) {
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t\n", what, len(t), perSecond, at(t, 50), at(t, 99), at(t, 100))
	}
	line("from POST to its answer", fmt.Sprintf("%.0f", float64(len(m.placed))/took.Seconds()), m.placed)
	line("from POST to confirmed, of those followed", "", m.confirmed)
	if err := table.Flush(); err != nil {
		return err
	}
	if m.cancelled > 0 {
		fmt.Printf("%d of those followed were cancelled; when the stock runs out, all are\n", m.cancelled)
	}
	if m.lost > 0 {
		fmt.Printf("%d of those followed were not seen to end, the last because of: %v\n", m.lost, m.loss)
	}
	switch {
	case m.hopeless:
		return fmt.Errorf("it ended early: for %s every order was refused, the last with: %w", hopeless, m.refusal)
	case len(m.placed)+m.refused == 0:
		return errors.New("no order was answered")
	case m.refused > 0:
		return fmt.Errorf("%d orders were refused, the last with: %w", m.refused, m.refusal)
	case m.lost > 0:
		return errors.New("an order that was followed did not end")
	}
	return nil
}

// at returns a percentile, or "-" if there is none: fewer than a hundred have no p99.
func at(t load.Times, percent float64) string {
	if len(t) == 0 || percent == 99 && len(t) < 100 {
		return "-"
	}
	return short(t.At(percent))
}

func short(d time.Duration) string {
	if d < time.Second {
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
