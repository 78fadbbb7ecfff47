package faults

import (
	"context"
	"os"
	"testing"
	"time"

	"example.com/shop/topology"
)

// Every process of a shop that is split entirely is killed once, the façade among them.
func TestEachProcessOfASplitShopIsKilled(t *testing.T) {
	s := start(t, topology.Modules...)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		for i, p := range s.Processes() {
			progress(0.1 + 0.15*float64(i))
			began := time.Now()
			s.restart(t, p, func() error { return p.Signal(os.Kill) })
			t.Logf("%s was killed and ready again after %s", p.Name, time.Since(began).Round(time.Millisecond))
		}
	})
}

// The broker is killed twice. What it had acknowledged it still has, and what it had not waits in the outboxes.
func TestTheBrokerIsKilled(t *testing.T) {
	long(t)
	s := start(t, topology.Modules...)
	s.underLoad(t, []string{s.URL}, func(progress func(float64)) {
		for i := range 2 {
			progress(0.3 + 0.3*float64(i))
			if err := s.Broker.Kill(); err != nil {
				t.Errorf("kill the broker: %v", err)
			}
			if err := s.Broker.Restart(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("start the broker: %v", err)
			}
		}
	})
}
